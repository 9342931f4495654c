// The end of a log that cannot go on: what was known of it last, and which log comes after it.
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { openCheckpoint } from '../../tlog/checkpoint.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { nodeSignatureCheck } from '../ops/signing.ts'

export type Ending = {
  /** Name and verifier key of the log that ended. */
  readonly origin: string
  readonly vkey: string
  /** The note of the last checkpoint that it is known to have signed. */
  readonly checkpoint: string
  /** Name of the log that comes after it. */
  readonly newOrigin: string
  readonly reason: string
  /** Who ended it: `local:NAME`. */
  readonly by: string
  /** RFC 3339. */
  readonly endedAt: string
}

export const reasonCharactersMax = 2_000

const members = ['origin', 'vkey', 'checkpoint', 'newOrigin', 'reason', 'by', 'endedAt'] as const

/** The log was ended: nothing signs for it any more. */
export class LogEnded extends Error {
  readonly ending: Ending

  constructor(ending: Ending) {
    const { origin, newOrigin, endedAt } = ending
    super(`the log ${origin} was ended at ${endedAt}, and signs nothing any more; ${newOrigin} comes after it`)
    this.name = 'LogEnded'
    this.ending = ending
  }
}

/** Throws unless the value is an ending, of a log that signed its checkpoint. */
export function readEnding(value: unknown): Ending {
  const found = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>
  const texts = members.map((name) => {
    const text = found[name]
    if (typeof text !== 'string' || text === '') throw new TypeError(`the end of a log: ${name}: want text`)
    return [name, text] as const
  })
  const ending = Object.fromEntries(texts) as Readonly<Record<(typeof members)[number], string>>
  const { origin, vkey, checkpoint, newOrigin } = ending
  if (newOrigin === origin) throw new TypeError('the end of a log: the new one has the same name')
  openCheckpoint(encodeUtf8(checkpoint), origin, [textVerifier(parseVkey(vkey), nodeSignatureCheck)])
  return ending
}
