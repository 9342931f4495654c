// History as somebody writes it anew who knows how all of it is made, and lacks nothing but the keys.
import { encodeUtf8, parseHex } from '../../../tlog/bytes.ts'
import { chainHash, chainText, genesisHash } from '../../../tlog/chain.ts'
import type { SequenceNumber } from '../../../tlog/coords.ts'
import { encodeLeaf } from '../../../tlog/entry.ts'
import { asHash, digest, leafHash } from '../../../tlog/hash.ts'
import { jcs } from '../../../tlog/jcs.ts'
import { appendLeafHashes, emptyEdge, type TreeEdge } from '../../../tlog/tree-edge.ts'
import type { Schema } from '../batch.ts'
import { entryReads } from '../entries.ts'
import { readInteger } from '../row.ts'
import type { Query } from '../session.ts'

/** Makes chain hashes, payload hashes and leaf hashes of entries `from` to `to` anew from what their columns say now. */
export async function rewriteHashes(query: Query, schema: Schema, from: number, to: number): Promise<void> {
  const reads = entryReads(query, schema)
  let previous = from === 1 ? genesisHash : undefined
  for (const { fields, payloadText, previousHash } of await reads.readEntries(from, to)) {
    const linked = previous ?? previousHash
    const payload: unknown = JSON.parse(payloadText)
    const { sequenceNumber, actorId, action, resource } = fields
    previous = chainHash(sequenceNumber as SequenceNumber, actorId, action, resource, chainText(payload), linked)
    const payloadHash = digest(encodeUtf8(jcs(payload)))
    const leaf = encodeLeaf({ ...fields, payloadHash, currentHash: asHash(parseHex(previous)) })
    await query(
      `update ${schema.evidence}.audit_logs
       set previous_hash = $2, current_hash = $3, payload_hash = $4, leaf_hash = $5
       where sequence_number = $1`,
      [sequenceNumber, linked, previous, payloadHash, leafHash(leaf)],
    )
  }
}

/** Makes tiles, heads and what checkpoints say anew from the rows: all agree with each other. Seals and signatures stay. */
export async function rewriteTree(query: Query, schema: Schema, size: number): Promise<void> {
  const { evidence } = schema
  const entries = await entryReads(query, schema).readColumns(1, size)
  const heads = await query(
    `select tree_size from ${evidence}.tree_heads where tree_size between 1 and $1 order by tree_size`,
    [size],
  )
  let edge: TreeEdge = emptyEdge
  for (const head of heads.map((row) => readInteger(row, 'tree_size'))) {
    const batch = entries.slice(edge.size, head)
    const leaves = Buffer.concat(batch.map((entry) => entry.leafHash))
    const grown = appendLeafHashes(edge, leaves)
    const chain = batch.at(-1)?.fields.currentHash
    await query(
      `update ${evidence}.tree_heads set root_hash = $2, frontier = $3, chain_hash = $4 where tree_size = $1`,
      [head, grown.root, grown.edge.frontier, chain],
    )
    await query(`update ${evidence}.tree_heads set previous_root = $2 where previous_size = $1`, [head, grown.root])
    await query(
      `update ${evidence}.checkpoints
       set root_hash = $2,
         note = regexp_replace(note, '^([^\\n]*\\n[^\\n]*\\n)[^\\n]*', '\\1' || encode($2, 'base64'))
       where tree_size = $1`,
      [head, grown.root],
    )
    for (const { level, index, hashes, midRoots } of grown.fullTiles) {
      await query(`update ${evidence}.tiles set hashes = $3, mid_roots = $4 where level = $1 and tile_index = $2`, [
        level,
        index,
        hashes,
        midRoots,
      ])
    }
    edge = grown.edge
  }
}

/** Of the newest head. */
export async function readSize(query: Query, { evidence }: Schema): Promise<number> {
  const [row] = await query(`select max(tree_size) as tree_size from ${evidence}.tree_heads`)
  return row === undefined ? 0 : readInteger(row, 'tree_size')
}
