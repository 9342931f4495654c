import { setTimeout as sleep } from 'node:timers/promises'
import { decodeUtf8, encodeUtf8, parseBase64 } from '../../tlog/bytes.ts'
import { parseDecimal } from '../../tlog/coords.ts'
import { encodeLeaf } from '../../tlog/entry.ts'
import { asHash } from '../../tlog/hash.ts'
import { checkLogAnchor, type LogAnchor } from '../../tlog/log-anchor.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkReceipt, parseReceipt } from '../../tlog/receipt.ts'
import { openTree } from '../client/checked-tree.ts'
import { LogClient } from '../client/log-client.ts'
import { nativeSha256 } from '../ops/native-sha256.ts'
import { nodeSignatureCheck } from '../ops/signing.ts'

/** Another transparency log as this one knows it. */
export type ExternalLog = {
  /** Our name for it: letters, digits, `.`, `-`, `_`. */
  readonly name: string
  /** `dendrolog`: entries by `POST /v1/entries`. `tlog`: bytes by `POST /add`, which are its leaves; tiles by C2SP tlog-tiles. */
  readonly kind: 'dendrolog' | 'tlog'
  readonly url: URL
  readonly vkey: string
  /** A writer's. */
  readonly token: string | undefined
}

const receiptBytesMax = 1_048_576
const indexBytesMax = 16
const pollMs = 500

/**
 * Puts a signed note into another log, and resolves when it stands in a tree that the other log signed: proved, not said.
 * `subject`: what of ours it is. Rejects where that is not so within `timeoutMs`.
 */
export async function anchorInLog(
  log: ExternalLog,
  note: string,
  subject: { readonly origin: string; readonly treeSize: number },
  timeoutMs: number,
  signal: AbortSignal,
): Promise<LogAnchor> {
  const { name, kind, url, vkey, token } = log
  const retry = { attemptsMax: 1 }
  const client = new LogClient({ url: url.href, vkey, timeoutMs, retry, ...(token === undefined ? {} : { token }) })
  const within = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  const put = kind === 'tlog' ? addBytes(client, note, within) : submit(client, note, subject, within)
  const anchor = { log: name, vkey, ...(await put) }
  checkLogAnchor(anchor, note, textVerifier(parseVkey(vkey), nodeSignatureCheck), nativeSha256)
  return anchor
}

type Put = Omit<LogAnchor, 'log' | 'vkey'>

async function addBytes(client: LogClient, note: string, signal: AbortSignal): Promise<Put> {
  const post = { path: 'add', contentType: 'application/octet-stream', body: note, bytesMax: indexBytesMax }
  const index = parseDecimal(decodeUtf8((await client.post(post, signal)).bytes).trim(), 'index')
  for (;;) {
    const { checkpoint, note: theirs } = await client.readSignedCheckpoint(signal)
    if (checkpoint.size > index) {
      const path = await (await openTree(client.reader(signal), checkpoint)).proveInclusion(index)
      return { index, leaf: undefined, path, checkpoint: theirs }
    }
    await sleep(pollMs, undefined, { signal })
  }
}

async function submit(
  client: LogClient,
  note: string,
  { origin, treeSize }: { readonly origin: string; readonly treeSize: number },
  signal: AbortSignal,
): Promise<Put> {
  const names = { actorId: cut(origin), action: 'anchor', resource: `tree-size:${treeSize}` }
  const body = JSON.stringify({ ...names, payload: { checkpoint: note } })
  const post = { path: 'v1/entries?wait=published', contentType: 'application/json', body, bytesMax: receiptBytesMax }
  const receipt = parseReceipt((await client.post(post, signal)).bytes) as ReceiptMembers
  const { fields } = checkReceipt(receipt, await client.verifierOf(encodeUtf8(receipt.checkpoint)), nativeSha256)
  const path = receipt.inclusionProof.hashes.map((text) => asHash(parseBase64(text)))
  return { index: fields.sequenceNumber - 1, leaf: encodeLeaf(fields), path, checkpoint: receipt.checkpoint }
}

/** What is checked before it is used. */
type ReceiptMembers = { readonly checkpoint: string; readonly inclusionProof: { readonly hashes: readonly string[] } }

const textPointsMax = 255

function cut(text: string): string {
  return [...text].slice(0, textPointsMax).join('')
}
