/**
 * Re-reads all of a log with the auditors' login and verifies it by the specifications alone: nothing here is shared
 * with the code under test but the driver. Slow and simple on purpose.
 */
import { createHmac, createPublicKey, type KeyObject, timingSafeEqual, verify } from 'node:crypto'
import { Client, type ClientConfig } from 'pg'
import { expect } from 'vitest'
import { type CheckedRow, checkIds, readCheckedRows, sha256 } from './check-rows.ts'

export type CheckLogOptions = {
  readonly reader: ClientConfig
  readonly origin: string
  readonly vkey: string
  /** P-256 SPKI, base64. */
  readonly sthPublicKey: string
  /** Where given, the seals of the heads are checked as well. */
  readonly sealKey?: Uint8Array
  readonly schema?: string
}

export type LogSummary = {
  readonly size: number
  readonly publishedSize: number
  readonly heads: number
  readonly checkpoints: number
  /** Of all of it. */
  readonly root: Buffer
  /** Event ids in the order of the ledger, lower case. */
  readonly ids: readonly string[]
  /** Leaf hashes, likewise. */
  readonly leaves: readonly Buffer[]
}

type Head = {
  readonly tree_size: string
  readonly root_hash: Buffer
  readonly chain_hash: Buffer
  readonly frontier: Buffer
  readonly newest_timestamp: string
  readonly previous_size: string | null
  readonly previous_root: Buffer | null
  readonly seal: Buffer
}

type Checkpoint = {
  readonly number: string
  readonly tree_size: string
  readonly root_hash: Buffer
  readonly timestamp_ms: string
  readonly note: string
  readonly sth_signature: Buffer
}

type Tile = {
  readonly level: number
  readonly tile_index: string
  readonly hashes: Buffer
  readonly mid_roots: Buffer | null
}

/** Fails the test where anything does not hold. */
export async function checkLog(options: CheckLogOptions): Promise<LogSummary> {
  const client = new Client(options.reader)
  // A statement that is cut off fails by itself; one that was given up, because the test's time is over, has nobody.
  client.on('error', () => {})
  await client.connect()
  try {
    // One snapshot: a log that goes on meanwhile must hold at any moment.
    await client.query('begin transaction isolation level repeatable read read only')
    return await checkSnapshot(client, options)
  } finally {
    await client.end()
  }
}

async function checkSnapshot(client: Client, options: CheckLogOptions): Promise<LogSummary> {
  const schema = options.schema ?? 'security'
  const heads = await readAll<Head>(client, `select * from ${schema}.tree_heads order by tree_size`)
  const rows = await readCheckedRows(client, schema)
  const leaves = rows.map(({ leaf }) => leaf)
  await checkIds(client, schema, rows)
  const tree = new Tree()
  checkHeads(heads, rows, leaves, tree, options)
  checkTiles(await readAll<Tile>(client, `select level, tile_index, hashes, mid_roots from ${schema}.tiles`), leaves)
  const checkpoints = await readAll<Checkpoint>(client, `select * from ${schema}.checkpoints order by number`)
  checkCheckpoints(checkpoints, heads, rows, options)
  return {
    size: rows.length,
    publishedSize: Number(checkpoints.at(-1)?.tree_size ?? 0),
    heads: heads.length,
    checkpoints: checkpoints.length,
    root: tree.root,
    ids: rows.map(({ id }) => id),
    leaves,
  }
}

async function readAll<T extends object>(client: Client, text: string): Promise<readonly T[]> {
  return (await client.query<T>(text)).rows
}

const nodePrefix = Buffer.of(1)

/** Perfect subtrees from left to right, as RFC 6962 2.1 splits the leaves. */
class Tree {
  #size = 0
  readonly #subtrees: { readonly height: number; readonly hash: Buffer }[] = []

  get size(): number {
    return this.#size
  }

  add(leaf: Buffer): void {
    let node = { height: 0, hash: leaf }
    for (let left = this.#subtrees.at(-1); left?.height === node.height; left = this.#subtrees.at(-1)) {
      this.#subtrees.pop()
      node = { height: node.height + 1, hash: sha256(nodePrefix, left.hash, node.hash) }
    }
    this.#subtrees.push(node)
    this.#size++
  }

  get frontier(): Buffer {
    return Buffer.concat(this.#subtrees.map(({ hash }) => hash))
  }

  get root(): Buffer {
    const hashes = this.#subtrees.map(({ hash }) => hash)
    return hashes.length === 0 ? sha256('') : hashes.reduceRight((right, left) => sha256(nodePrefix, left, right))
  }
}

/** A head for the end of the ledger and no row beyond it; each is the root at its size and names the one before. */
function checkHeads(
  heads: readonly Head[],
  rows: readonly CheckedRow[],
  leaves: readonly Buffer[],
  tree: Tree,
  { sealKey, origin }: CheckLogOptions,
): void {
  expect(Number(heads.at(-1)?.tree_size ?? -1), 'the newest head covers all rows').toBe(rows.length)
  heads.forEach((head, i) => {
    const size = Number(head.tree_size)
    const before = heads[i - 1]
    for (const leaf of leaves.slice(tree.size, size)) tree.add(leaf)
    expect(head.root_hash.equals(tree.root), `head ${size}: root`).toBe(true)
    expect(head.frontier.equals(tree.frontier), `head ${size}: frontier`).toBe(true)
    expect(head.previous_size, `head ${size}: predecessor`).toBe(before?.tree_size ?? null)
    expect(head.previous_root ?? undefined, `head ${size}: predecessor`).toEqual(before?.root_hash)
    const newest = rows[size - 1]
    expect(head.chain_hash.toString('hex'), `head ${size}: chain`).toBe(newest?.chain ?? '0'.repeat(64))
    expect(head.newest_timestamp, `head ${size}: newest timestamp`).toBe(String(newest?.timestamp ?? 0n))
    if (sealKey !== undefined) {
      expect(timingSafeEqual(head.seal, sealOf(sealKey, origin, head)), `head ${size}: seal`).toBe(true)
    }
  })
}

function sealOf(sealKey: Uint8Array, origin: string, head: Head): Buffer {
  const numbers = Buffer.alloc(24)
  numbers.writeBigUInt64BE(BigInt(head.previous_size ?? 0), 0)
  numbers.writeBigUInt64BE(BigInt(head.tree_size), 8)
  numbers.writeBigUInt64BE(BigInt(head.newest_timestamp), 16)
  return createHmac('sha256', sealKey)
    .update(`dendrolog/seal/2\0${origin}\0`)
    .update(numbers)
    .update(head.previous_root ?? sha256(''))
    .update(head.root_hash)
    .update(head.chain_hash)
    .update(head.frontier)
    .digest()
}

/** Exactly the full tiles of the tree, level by level made of the tiles below. */
function checkTiles(tiles: readonly Tile[], leaves: readonly Buffer[]): void {
  const stored = new Map(tiles.map((tile) => [`${tile.level}/${tile.tile_index}`, tile]))
  expect(stored.size).toBe(tiles.length)
  let full = 0
  let hashes = leaves
  for (let level = 0; hashes.length >= 256; level++) {
    const count = Math.floor(hashes.length / 256)
    const above: Buffer[] = []
    for (let i = 0; i < count; i++) {
      const tile = hashes.slice(256 * i, 256 * (i + 1))
      checkTile(stored.get(`${level}/${i}`), tile, `tile ${level}/${i}`)
      above.push(rootOf(tile))
    }
    full += count
    hashes = above
  }
  expect(stored.size, 'no tile beyond the tree').toBe(full)
}

function checkTile(stored: Tile | undefined, tile: readonly Buffer[], place: string): void {
  expect(stored?.hashes.equals(Buffer.concat(tile)), place).toBe(true)
  const midRoots = Array.from({ length: 16 }, (_, i) => rootOf(tile.slice(16 * i, 16 * (i + 1))))
  expect(stored?.mid_roots?.equals(Buffer.concat(midRoots)), `${place}: mid roots`).toBe(true)
}

function rootOf(leaves: readonly Buffer[]): Buffer {
  const tree = new Tree()
  for (const leaf of leaves) tree.add(leaf)
  return tree.root
}

/** Numbers without a gap; sizes never go back, times only go on; both signatures hold, over a head that exists. */
function checkCheckpoints(
  checkpoints: readonly Checkpoint[],
  heads: readonly Head[],
  rows: readonly CheckedRow[],
  options: CheckLogOptions,
): void {
  const roots = new Map(heads.map((head) => [head.tree_size, head.root_hash]))
  const sthKey = createPublicKey({ key: Buffer.from(options.sthPublicKey, 'base64'), format: 'der', type: 'spki' })
  let [sizeBefore, timeBefore] = [0, -1]
  checkpoints.forEach((checkpoint, i) => {
    const place = `checkpoint ${i}`
    const [size, timestampMs] = [Number(checkpoint.tree_size), Number(checkpoint.timestamp_ms)]
    expect(checkpoint.number, place).toBe(String(i))
    expect(roots.get(checkpoint.tree_size)?.equals(checkpoint.root_hash), `${place}: root`).toBe(true)
    expect(size, `${place}: size`).toBeGreaterThanOrEqual(sizeBefore)
    expect(timestampMs, `${place}: time`).toBeGreaterThan(timeBefore)
    expect(timestampMs * 1_000, `${place}: newest entry`).toBeGreaterThanOrEqual(Number(rows[size - 1]?.timestamp ?? 0))
    checkNote(checkpoint, options)
    checkSthSignature(checkpoint, sthKey)
    ;[sizeBefore, timeBefore] = [size, timestampMs]
  })
}

/** C2SP signed note of a C2SP checkpoint: one signature, Ed25519, by the key of `vkey`. */
function checkNote({ number, note, tree_size, root_hash }: Checkpoint, { origin, vkey }: CheckLogOptions): void {
  const text = `${origin}\n${tree_size}\n${root_hash.toString('base64')}\n`
  const [name, keyId, key] = vkey.split(/\+([0-9a-f]{8})\+/)
  const publicKey = Buffer.from(key ?? '', 'base64').subarray(1)
  expect(keyId).toBe(sha256(`${origin}\n\x01`, publicKey).subarray(0, 4).toString('hex'))
  expect(note.startsWith(`${text}\n— ${name} `), `checkpoint ${number}: note`).toBe(true)
  const blob = Buffer.from(note.slice(text.length + 4 + origin.length, -1), 'base64')
  expect(note).toBe(`${text}\n— ${origin} ${blob.toString('base64')}\n`)
  expect(blob.subarray(0, 4).toString('hex')).toBe(keyId)
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey])
  const signer = createPublicKey({ key: spki, format: 'der', type: 'spki' })
  expect(verify(null, Buffer.from(text), signer, blob.subarray(4)), `checkpoint ${number}: signature`).toBe(true)
}

/** RFC 6962 3.5, RFC 5246 4.7. */
function checkSthSignature(checkpoint: Checkpoint, key: KeyObject): void {
  const signed = Buffer.alloc(50)
  signed[1] = 1
  signed.writeBigUInt64BE(BigInt(checkpoint.timestamp_ms), 2)
  signed.writeBigUInt64BE(BigInt(checkpoint.tree_size), 10)
  checkpoint.root_hash.copy(signed, 18)
  const { sth_signature: struct } = checkpoint
  expect(struct.subarray(0, 2).toString('hex')).toBe('0403')
  expect(struct.readUInt16BE(2)).toBe(struct.length - 4)
  expect(verify('sha256', signed, key, struct.subarray(4)), `checkpoint ${checkpoint.number}: STH`).toBe(true)
}
