import type { BatchRows, TreeHead } from '../store/batch.ts'
import type { Batch } from './integrate.ts'
import { type SealKey, sealHead } from './seal.ts'

/** What the commit of a batch writes: its rows and tiles, under a head with the log's seal. */
export function sealedRows(
  { before, after, ledgerRows, idRows, fullTiles }: Batch,
  { origin, sealKey }: { readonly origin: string; readonly sealKey: SealKey },
): BatchRows {
  const head: Omit<TreeHead, 'seal'> = {
    treeSize: after.edge.size,
    root: after.root,
    chainHash: after.chainHash,
    frontier: after.edge.frontier,
    newestTimestamp: after.newestTimestamp,
    previousSize: before.edge.size,
    previousRoot: before.root,
  }
  return { head: { ...head, seal: sealHead(sealKey, origin, head) }, ledgerRows, idRows, fullTiles }
}
