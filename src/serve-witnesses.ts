// What `serve` wires of a log's witnesses.
import { formatSignatureLine, textVerifier } from '../tlog/note.ts'
import { parseVkey } from '../tlog/note-key.ts'
import { policyBytesMax } from '../tlog/witness-policy.ts'
import { type Config, ConfigError } from './config.ts'
import { AskedWitness, type OtherHistory } from './cosign/asked-witness.ts'
import { Gathering } from './cosign/gathering.ts'
import { pairOf, Witnesses } from './cosign/witnesses.ts'
import type { Alarms } from './incident/alarms.ts'
import type { Instance } from './instance.ts'
import type { Witnessing } from './log/cosigned.ts'
import { LogIncident } from './log/incident.ts'
import { reportWitnesses } from './log/report.ts'
import { describeError } from './ops/describe-error.ts'
import { readGivenFile } from './ops/given-file.ts'
import type { Logger } from './ops/logger.ts'
import type { Metrics } from './ops/metrics.ts'
import { checkMlDsa44 } from './ops/ml-dsa.ts'
import { nodeSignatureCheck } from './ops/signing.ts'
import type { StoredCheckpoint } from './store/checkpoints.ts'

/** Theirs may be so far from our clock. */
const skewMaxMs = 60_000

/** Before a log begins, its witnesses have so long to show that they know more of it. */
const firstLookMs = 2_000

/** The policy that is set, for the log of the verifier key; undefined where none is. ConfigError where it cannot be used. */
export async function readWitnesses(
  { witnessPolicy, publishesAfterQuorum }: Pick<Config, 'witnessPolicy' | 'publishesAfterQuorum'>,
  vkey: string,
): Promise<Witnesses | undefined> {
  if (witnessPolicy === undefined) return undefined
  const witnesses = await parseFile(witnessPolicy, vkey)
  if (witnesses.asked.length === 0) throw refused(witnessPolicy, 'no witness has a URL')
  if (publishesAfterQuorum && !witnesses.hasQuorum) throw refused(witnessPolicy, 'has no quorum to publish after')
  return witnesses
}

async function parseFile(path: string, vkey: string): Promise<Witnesses> {
  try {
    const check = { ed25519: nodeSignatureCheck.ed25519, mlDsa44: checkMlDsa44 }
    return Witnesses.parse(await readGivenFile(path, policyBytesMax), vkey, check)
  } catch (error) {
    throw refused(path, describeError(error).message)
  }
}

function refused(path: string, reason: string): ConfigError {
  return new ConfigError('DENDROLOG_WITNESS_POLICY', `${path}: ${reason}`)
}

export type WitnessingParts = {
  readonly config: Pick<Config, 'publishesAfterQuorum' | 'witnessTimeoutMs'>
  readonly instance: Pick<Instance, 'origin' | 'keys'>
  readonly alarms: Pick<Alarms, 'raise'>
  readonly logger: Logger
  readonly metrics: Metrics
}

/** The log's side of its witnesses. */
export function openWitnessing(witnesses: Witnesses, parts: WitnessingParts): Witnessing {
  const { config, instance, alarms, metrics } = parts
  const log = { origin: instance.origin, verifier: textVerifier(parseVkey(instance.keys.vkey), nodeSignatureCheck) }
  const onAsked = reportWitnesses(parts.logger, metrics)
  const asked = { log, timeoutMs: config.witnessTimeoutMs, skewMaxMs, nowMs: Date.now }
  return {
    isAwaited: config.publishesAfterQuorum,
    hold: (note, lines) => witnesses.hold(note, lines),
    gather: ({ prove, store, onGathered }) => {
      const onOtherHistory = (found: OtherHistory): void => alarms.raise(findingOf(found))
      const cosigners = witnesses.asked.map((each) => new AskedWitness(each, { ...asked, prove, onOtherHistory }))
      const gathering = new Gathering<StoredCheckpoint>({
        ...{ cosigners, onAsked },
        isQuorum: ({ signatures }) => witnesses.areQuorum(signatures),
        store: ({ number }, signatures) =>
          store(signatures.map((each) => ({ checkpointNumber: number, witness: pairOf(each), line: lineOf(each) }))),
        onGathered: ({ checkpoint, signatures }, isQuorum) => {
          onGathered({ ...checkpoint, cosignatures: signatures.map(formatSignatureLine).join('') }, isQuorum)
        },
      })
      return {
        offer: (checkpoint) => gathering.offer(checkpoint),
        run: (signal) => gathering.run(signal),
        checkFirst: (last) => checkFirst(cosigners, last),
      }
    },
  }
}

/** Throws LogIncident where a witness shows that the log signed more than what it remembers, or something else. */
async function checkFirst(cosigners: readonly AskedWitness<StoredCheckpoint>[], last: StoredCheckpoint): Promise<void> {
  const signal = AbortSignal.timeout(firstLookMs)
  const found = await Promise.all(cosigners.map((each) => each.findOtherHistory(last, signal)))
  const other = found.find((each) => each !== undefined)
  if (other !== undefined && other.kind !== 'WITNESS_REFUSED') throw new LogIncident(other.kind, other.detail)
}

function findingOf({ kind, witness, detail, evidence }: OtherHistory): Parameters<Alarms['raise']>[0] {
  return { violationType: kind, place: `witness ${witness}`, detail, evidence }
}

function lineOf(signature: Parameters<typeof formatSignatureLine>[0]): string {
  return formatSignatureLine(signature).slice(0, -1)
}
