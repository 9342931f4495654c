import type { StoredCheckpoint } from '../src/store/checkpoints.ts'
import { parseBase64 } from '../tlog/bytes.ts'
import { receiptHeadOf } from '../tlog/cose-checkpoint.ts'
import type { CoseTreeHead } from '../tlog/cose-receipt.ts'
import { Problem } from './problem.ts'
import type { Server } from './server.ts'

/** COSE receipts (RFC 9942). */
export const coseType = 'application/cose'

/** The part of receipts that is signed. */
export function receiptHead({ identity }: Server, checkpoint: StoredCheckpoint): CoseTreeHead {
  const { number, treeSize, timestampMs, coseSignature } = checkpoint
  if (coseSignature === null) throw noReceipt(`checkpoint ${number} is from before there were receipts`)
  const { origin, sthPublicKey } = identity
  return receiptHeadOf(parseBase64(sthPublicKey), { origin, treeSize, timestampMs }, coseSignature)
}

export function answerReceipt(receipt: Uint8Array, headers: Readonly<Record<string, string>>): Response {
  return new Response(new Uint8Array(receipt), { status: 200, headers: { ...headers, 'content-type': coseType } })
}

export function noReceipt(detail: string): Problem {
  return new Problem('no-receipt', detail)
}
