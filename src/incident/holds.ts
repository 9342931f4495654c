// What containment keeps from going on until somebody releases it: a file in the data folder, so that it outlives a
// restart, and is no row that whoever has the database could delete.
import { join } from 'node:path'
import { readSecretFile, writeSecretFile } from '../store/secret-file.ts'

/** Why something does not go on. */
export type Hold = {
  /** Id of the incident. */
  readonly incident: string
  /** RFC 3339. */
  readonly at: string
}

/** What can be held: signing of checkpoints, and the login of the writer. */
export type Holds = Readonly<Partial<Record<'publishing' | 'writer', Hold>>>

/** Throws where the file is not what was written: whoever damages it must not release anything. */
export async function readHolds(dataDir: string): Promise<Holds> {
  const path = holdsPath(dataDir)
  const text = await readSecretFile(path)
  if (text === undefined) return {}
  try {
    const { publishing, writer } = (JSON.parse(text) ?? {}) as Readonly<Record<string, unknown>>
    return {
      ...(publishing === undefined ? {} : { publishing: parseHold(publishing) }),
      ...(writer === undefined ? {} : { writer: parseHold(writer) }),
    }
  } catch (cause) {
    throw new Error(`${path}: is not what dendrolog wrote; \`dendrolog incident release\` needs it as it was`, {
      cause,
    })
  }
}

/** Holds something more; what is held already stays held by the first incident. Durable when this resolves. */
export async function addHold(dataDir: string, what: keyof Holds, hold: Hold): Promise<void> {
  await writeSecretFile(holdsPath(dataDir), `${JSON.stringify({ [what]: hold, ...(await readHolds(dataDir)) })}\n`)
}

/** Durable when this resolves. */
export async function clearHolds(dataDir: string): Promise<void> {
  await writeSecretFile(holdsPath(dataDir), '{}\n')
}

function holdsPath(dataDir: string): string {
  return join(dataDir, 'containment.json')
}

function parseHold(value: unknown): Hold {
  const { incident, at } = (value ?? {}) as Readonly<Record<string, unknown>>
  if (typeof incident === 'string' && typeof at === 'string') return { incident, at }
  throw new TypeError('want incident and at')
}
