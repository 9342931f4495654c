import type { ContainedIncident, Measure } from './containment.ts'

/** A token, as far as revoking it needs to know it. */
export type RevocableToken = { readonly id: string; readonly name: string; readonly state: string }

export type RevokeOptions = {
  /** Identities that the rows of these entries name, at most as many entries as `rowsMax`. */
  readonly readWriters: (first: number, last: number) => Promise<readonly string[]>
  readonly readTokens: () => AsyncIterable<RevocableToken>
  /** The identity by which entries name a token. */
  readonly identityOf: (name: string) => string
  /** Rejects where it must not be revoked: the last administrator's. */
  readonly revoke: (id: string) => Promise<unknown>
}

/** A finding may be about all that came since a checkpoint. */
export const rowsMax = 1_000

/**
 * Revokes the tokens that the rows of the finding name. Whoever changed a row may have changed that name too, so this
 * may hit somebody who did nothing.
 */
export function revokeWriters(options: RevokeOptions): Measure {
  return {
    name: 'revoke-writers',
    carryOut: async (incident) => {
      const [first, last] = entriesOf(incident)
      const writers = await options.readWriters(first, last)
      const [revoked, kept] = await revokeNamed(options, writers)
      const others = writers.filter((writer) => ![...revoked, ...kept.map(([each]) => each)].includes(writer))
      const parts = [
        revoked.length === 0 ? 'no token was revoked' : `revoked: ${revoked.join(', ')}`,
        ...kept.map(([writer, reason]) => `kept ${writer}: ${reason}`),
        ...(others.length === 0 ? [] : [`no token that holds: ${others.join(', ')}`]),
      ]
      return parts.join('; ')
    },
  }
}

function entriesOf({ finding: { sequenceNumber, evidence } }: ContainedIncident): readonly [number, number] {
  if (sequenceNumber === undefined) throw new Error('the finding names no entry, so that no writer is known')
  const { lastSequenceNumber: last } = evidence
  const wanted = typeof last === 'number' && last > sequenceNumber ? last : sequenceNumber
  return [sequenceNumber, Math.min(wanted, sequenceNumber + rowsMax - 1)]
}

async function revokeNamed(
  { readTokens, identityOf, revoke }: RevokeOptions,
  writers: readonly string[],
): Promise<readonly [revoked: string[], kept: [string, string][]]> {
  const [revoked, kept]: [string[], [string, string][]] = [[], []]
  for await (const { id, name, state } of readTokens()) {
    const writer = identityOf(name)
    if (state !== 'live' || !writers.includes(writer)) continue
    try {
      await revoke(id)
      revoked.push(writer)
    } catch (error) {
      kept.push([writer, error instanceof Error ? error.message : String(error)])
    }
  }
  return [revoked, kept]
}
