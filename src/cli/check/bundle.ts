import type { X509Certificate } from 'node:crypto'
import { type BundleHead, checkBundle } from '../../../tlog/bundle.ts'
import { equalBytes } from '../../../tlog/bytes.ts'
import type { Checkpoint } from '../../../tlog/checkpoint.ts'
import type { LeafFields } from '../../../tlog/entry.ts'
import { entryMembers } from '../../../tlog/entry-members.ts'
import { TlogError } from '../../../tlog/errors.ts'
import { checkLogAnchor } from '../../../tlog/log-anchor.ts'
import { type NoteVerifier, textVerifier } from '../../../tlog/note.ts'
import { formatVkey, parseVkey, type VerifierKey } from '../../../tlog/note-key.ts'
import { formatMicroseconds } from '../../../tlog/time.ts'
import type { Cosigned, Witnesses } from '../../cosign/witnesses.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { nodeSignatureCheck } from '../../ops/signing.ts'
import { quoteText, visibleText } from '../command.ts'
import { describeStamp, type ProvedStamp, proveStamps, stampJson } from './stamps.ts'

/** A head that stands in another log. */
export type ProvedLog = {
  readonly log: string
  readonly index: number
  readonly treeSize: number
  /** Whether the caller gave the log's key; otherwise it is the file's own word. */
  readonly isTrusted: boolean
}

/** What an evidence bundle proves. */
export type ProvedBundle = {
  readonly kind: 'bundle'
  readonly checkpoint: Checkpoint
  readonly entries: readonly { readonly fields: LeafFields; readonly payload: string | undefined }[]
  readonly stamps: readonly ProvedStamp[]
  readonly logs: readonly ProvedLog[]
  /** By the policy that was given: cosignatures of all heads; undefined without one. */
  readonly cosigned: readonly (Cosigned & { readonly treeSize: number })[] | undefined
  /** Of the log's own STHs: when it says that it signed the first head, milliseconds. */
  readonly signedAtMs: number
}

export type BundleTrust = {
  readonly verifier: NoteVerifier
  /** SPKI, where the caller knows it: then it must be the bundle's. */
  readonly sthKey: Uint8Array | undefined
  readonly witnesses: Witnesses | undefined
  readonly roots: readonly X509Certificate[]
  /** Keys of other logs that are trusted. */
  readonly logs: readonly VerifierKey[]
}

/** Checks a bundle with all that is in it. Throws TlogError where the log, a witness of the policy or an authority did not say so. */
export function proveBundle(
  bytes: Uint8Array,
  { verifier, sthKey, witnesses, roots, logs }: BundleTrust,
): ProvedBundle {
  const { bundle, fields, checkpoints } = checkBundle(bytes, verifier, nodeSignatureCheck, nativeSha256)
  if (sthKey !== undefined && !equalBytes(sthKey, bundle.sthKey)) {
    throw new TlogError('origin-mismatch', "bundle: its key of STHs is not the log's")
  }
  const sizes = checkpoints.map(({ size }) => size)
  const held = witnesses && bundle.heads.map((head) => witnesses.hold(head.note, linesOf(head)))
  if (held !== undefined && !held.some(({ isQuorum }) => isQuorum)) {
    throw new TlogError('no-quorum', 'no head of the bundle has the cosignatures of the quorum of the policy')
  }
  return {
    kind: 'bundle',
    checkpoint: checkpoints[0] as Checkpoint,
    entries: fields.map((each, i) => {
      const payload = bundle.entries[i]?.payload
      return { fields: each, payload: payload === undefined ? undefined : Buffer.from(payload).toString('utf8') }
    }),
    stamps: bundle.heads.flatMap((head, i) => proveStamps(head, sizes[i] as number, roots)),
    logs: bundle.heads.flatMap((head, i) => logsOf(head, sizes[i] as number, logs)),
    cosigned: held?.flatMap(({ cosigned }, i) => cosigned.map((each) => ({ ...each, treeSize: sizes[i] as number }))),
    signedAtMs: bundle.heads[0]?.sth.timestampMs ?? 0,
  }
}

function linesOf({ cosignatures }: BundleHead): readonly string[] {
  return cosignatures.split('\n').filter((line) => line !== '')
}

/** Anchors of a head in other logs, by keys that the caller gave or the file names. */
function logsOf({ note, logs }: BundleHead, treeSize: number, trusted: readonly VerifierKey[]): readonly ProvedLog[] {
  return logs.map((anchor) => {
    const key = parseVkey(anchor.vkey)
    const { origin } = checkLogAnchor(anchor, note, textVerifier(key, nodeSignatureCheck), nativeSha256)
    const isTrusted = trusted.some((each) => formatVkey(each) === anchor.vkey)
    return { log: origin, index: anchor.index, treeSize, isTrusted }
  })
}

/** In plain sentences: what is proven, by whom, and what is not. */
export function describeBundle({ checkpoint, entries, stamps, logs, cosigned, signedAtMs }: ProvedBundle): string {
  const { origin, size } = checkpoint
  const signed = `the tree of size ${size} that ${quoteText(origin)} signed`
  return [
    `holds: ${entries.length === 1 ? 'an entry stands' : `${entries.length} entries stand`} in ${signed}`,
    ...entries.map(describeEntry),
    `  the log says that it signed this tree at ${timeOf(signedAtMs * 1_000)}`,
    ...stamps.flatMap((stamp) => describeStamp(stamp, Date.now() * 1_000)),
    ...(stamps.length === 0 ? ['  NOT proven: since when it exists; no time-stamp authority has stamped it'] : []),
    ...logs.map(describeLog),
    ...describeCosigned(cosigned),
  ].join('\n')
}

function describeEntry({ fields, payload }: ProvedBundle['entries'][number]): string {
  const { sequenceNumber, action, resource, actorId, timestamp } = fields
  const what = `entry ${sequenceNumber} ${quoteText(action)} on ${quoteText(resource)} by ${quoteText(actorId)}`
  const said = payload === undefined ? 'its payload is not in the file' : `its payload is ${payload.length} characters`
  return `  ${what}, logged ${formatMicroseconds(timestamp)}; ${said}`
}

function describeLog({ log, index, treeSize, isTrusted }: ProvedLog): string {
  const whose = isTrusted ? '' : ", by a key that is this file's own word: give --anchor-log"
  return `  the tree of size ${treeSize} stands in the log ${quoteText(log)} at index ${index}${whose}`
}

function describeCosigned(cosigned: ProvedBundle['cosigned']): readonly string[] {
  if (cosigned === undefined) return ['  NOT checked: who has cosigned it; give --policy']
  return cosigned.map(({ witness, timeS, treeSize }) => {
    const at = timeS === undefined ? '' : ` at ${formatMicroseconds(timeS * 1_000_000)}`
    return `  cosigned by ${visibleText(witness)}${at} as the only history, in the tree of size ${treeSize}`
  })
}

/** For programs. */
export function bundleJson({
  entries,
  stamps,
  logs,
  cosigned,
  signedAtMs,
}: ProvedBundle): Readonly<Record<string, unknown>> {
  return {
    entries: entries.map(({ fields, payload }) => ({ ...entryMembers(fields), payload: payload ?? null })),
    signedAt: timeOf(signedAtMs * 1_000),
    stamps: stamps.map(stampJson),
    logs,
    cosigned:
      cosigned?.map(({ witness, timeS, treeSize }) => ({
        ...{ witness, treeSize },
        at: timeS === undefined ? null : timeOf(timeS * 1_000_000),
      })) ?? null,
  }
}

function timeOf(microseconds: number): string {
  return formatMicroseconds(microseconds)
}
