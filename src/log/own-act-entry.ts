// From something that the log did to the submission that becomes its entry: signed where it is told of, checked again
// where it is submitted, because in between it lay in the database.

import { encodeUtf8 } from '../../tlog/bytes.ts'
import { chainText } from '../../tlog/chain.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import { jcs } from '../../tlog/jcs.ts'
import type { AnyNoteSigner, NoteVerifier } from '../../tlog/note.ts'
import { checkOwnAct, type OwnActEntry, signOwnActAnywhere } from '../../tlog/own-act.ts'
import { formatMicroseconds } from '../../tlog/time.ts'
import { formatUuid, parseUuidV7 } from '../../tlog/uuid.ts'
import type { Act, SignAct, SignedAct } from '../store/acts.ts'
import { Arena } from './arena.ts'
import { encodeSubmission, type Submission, type Utf8 } from './submission.ts'

export type SignActOptions = {
  /** The log's note key; its name is the origin. */
  readonly signer: AnyNoteSigner
  /** A new UUIDv7, 16 bytes. */
  readonly makeId: () => Uint8Array
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
  readonly hash: Sha256
}

/**
 * What signs acts. It rejects with `json-not-strict` where a detail is not of JSON, as one with an undefined member, and
 * as the signer does.
 */
export function createSignAct(options: SignActOptions): SignAct {
  return (said) => signAct(options, prepareAct(options, said))
}

/** An act with its id and time, which it keeps however often it must be signed. */
export function prepareAct({ makeId, nowMs }: SignActOptions, said: Omit<Act, 'id' | 'occurredAt'>): Act {
  return { ...said, id: formatUuid(makeId()), occurredAt: Math.floor(nowMs() * 1_000) }
}

export async function signAct({ signer, hash }: SignActOptions, act: Act): Promise<SignedAct> {
  const said = { ...act, occurredAt: formatMicroseconds(act.occurredAt) }
  return { ...act, signature: await signOwnActAnywhere(said, signer, hash) }
}

/** The members of an act's entry that its signature is about. */
export function entryOfAct({ detail, signature, ...act }: SignedAct): OwnActEntry {
  return { ...act, occurredAt: formatMicroseconds(act.occurredAt), payload: { ...detail, signature } }
}

/**
 * The submission of an act. Its id counts as one that a client made: submitted twice it is one entry. TlogError where the
 * log did not sign it, so that nobody speaks for the log by writing into its database.
 */
export function submissionOfAct(act: SignedAct, verifier: NoteVerifier, hash: Sha256): Submission {
  const entry = entryOfAct(act)
  checkOwnAct(entry, verifier, hash)
  const eventId = parseUuidV7(act.id)
  const jcsText = utf8(jcs(entry.payload))
  const fields = {
    ...{ eventId, clientMadeId: true, occurredAt: act.occurredAt, lamport: null },
    ...{ actorId: utf8(act.actorId), action: utf8(act.action), resource: utf8(act.resource), clientIp: noPeer },
    ...{ jcsText, chainText: utf8(chainText(entry.payload)) },
  }
  const provenance = { writer: utf8(ownWriter(verifier.name)), sourcePosition: null }
  return encodeSubmission(new Arena(jcsText.end), fields, provenance, hash)
}

/** Characters of an origin that stand in the writer's identity, which has 1,024 bytes at most. */
const originCharactersMax = 250

/** The identity under which the log of this origin writes its own entries: `dendrolog:ORIGIN`. */
export function ownWriter(origin: string): string {
  return `dendrolog:${[...origin].slice(0, originCharactersMax).join('')}`
}

const noPeer = utf8('::')

function utf8(text: string): Utf8 {
  const bytes = encodeUtf8(text)
  return { bytes, start: 0, end: bytes.length }
}
