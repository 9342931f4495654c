import { decodeUtf8, encodeUtf8, formatBase64 } from './bytes.ts'
import { TlogError } from './errors.ts'
import { digest, nobleSha256, type Sha256 } from './hash.ts'
import { jcs } from './jcs.ts'
import { type AnyNoteSigner, type NoteSigner, type NoteVerifier, openNote, signNote, signNoteAnywhere } from './note.ts'

// What the log did itself, as entries: their actions begin with `dendrolog.`, and they count only with the log's
// signature in their payload, a note (C2SP signed-note) by the key that signs its checkpoints.

/** Actions of the log's own entries begin so; no client may submit them. */
export const ownActionPrefix = 'dendrolog.'

/**
 * First line of the signed text; the second is a hash, the third and last the origin. No checkpoint is such a text, not
 * even of a log with this very name: the second line of a checkpoint is a number. (With the origin second, a log named
 * `7` would sign what reads as a checkpoint of size 7.)
 */
const firstLine = 'dendrolog/act/1'

/** Member of the payload that is not part of the act. */
const signatureMember = 'signature'

/** An act: members of its entry, as the API gives them. */
export type OwnAct = {
  /** UUID, lower case. */
  readonly id: string
  /** `dendrolog.<kind>`. */
  readonly action: string
  /** Who did it; `dendrolog` where it was the log itself. */
  readonly actorId: string
  /** What it is about. */
  readonly resource: string
  /** `YYYY-MM-DDTHH:MM:SS.ffffffZ`. */
  readonly occurredAt: string
  /** The payload without `signature`. */
  readonly detail: Readonly<Record<string, unknown>>
}

/** What of an entry tells whether it is an act; other members may be there. */
export type OwnActEntry = {
  readonly id: string
  readonly action: string
  readonly actorId: string
  readonly resource: string
  readonly occurredAt: string | null
  readonly payload: unknown
}

/**
 * The text that is signed: `dendrolog/act/1`, base64 of SHA-256 of the RFC 8785 text of {id, action, actorId, resource,
 * occurredAt, detail}, and the origin; each ended by LF. `json-not-strict` where the detail is not of JSON.
 */
export function formatOwnAct(origin: string, act: OwnAct, hash: Sha256 = nobleSha256): string {
  const { id, action, actorId, resource, occurredAt, detail } = act
  const text = jcs({ id, action, actorId, resource, occurredAt, detail })
  return `${firstLine}\n${formatBase64(digest(encodeUtf8(text), hash))}\n${origin}\n`
}

/** The payload of the act's entry, signed by the log, whose origin is the signer's name. */
export function signOwnAct(
  act: OwnAct,
  signer: NoteSigner,
  hash: Sha256 = nobleSha256,
): Readonly<Record<string, unknown>> & { readonly signature: string } {
  checkDetail(act)
  const note = signNote(formatOwnAct(signer.name, act, hash), [signer])
  return { ...act.detail, [signatureMember]: decodeUtf8(note) }
}

/** The signature of an act, by a key that may be elsewhere: what `signOwnAct` puts into the payload. Rejects as the key does. */
export async function signOwnActAnywhere(
  act: OwnAct,
  signer: AnyNoteSigner,
  hash: Sha256 = nobleSha256,
): Promise<string> {
  checkDetail(act)
  return decodeUtf8(await signNoteAnywhere(formatOwnAct(signer.name, act, hash), [signer]))
}

/**
 * The act that an entry is. Throws unless the log of `verifier`, whose name is the origin, signed exactly it:
 * `act-mismatch` on an entry that is none (another action, no signature, no time) or another than the signed one,
 * `malformed-note`, `unverified-note` and `invalid-signature` as `openNote`. That the entry is in the log is for a
 * receipt or a proof to say.
 */
export function checkOwnAct(entry: OwnActEntry, verifier: NoteVerifier, hash: Sha256 = nobleSha256): OwnAct {
  const { id, action, actorId, resource, occurredAt } = entry
  if (!action.startsWith(ownActionPrefix)) throw mismatch(id, `its action is ${JSON.stringify(action.slice(0, 100))}`)
  if (occurredAt === null) throw mismatch(id, 'it has no time')
  const { signature, detail } = splitPayload(id, entry.payload)
  const { text } = openNote(encodeUtf8(signature), [verifier])
  const act = { id, action, actorId, resource, occurredAt, detail }
  if (text !== formatOwnAct(verifier.name, act, hash)) throw mismatch(id, 'it is not what its signature is of')
  return act
}

function checkDetail({ id, action, detail }: OwnAct): void {
  if (!action.startsWith(ownActionPrefix)) throw mismatch(id, `its action is ${JSON.stringify(action.slice(0, 100))}`)
  if (Object.hasOwn(detail, signatureMember)) throw mismatch(id, `its detail has a member "${signatureMember}"`)
}

function splitPayload(id: string, payload: unknown): { readonly signature: string; readonly detail: OwnAct['detail'] } {
  const { [signatureMember]: signature, ...detail } = (payload ?? {}) as Readonly<Record<string, unknown>>
  if (typeof signature !== 'string') throw mismatch(id, 'its payload has no signature')
  // A lone surrogate has no UTF-8, and would be signed as another character.
  if (!signature.isWellFormed()) throw mismatch(id, 'its signature is not well-formed text')
  return { signature, detail }
}

function mismatch(id: string, reason: string): TlogError {
  return new TlogError('act-mismatch', `act ${JSON.stringify(id.slice(0, 80))}: ${reason}`)
}
