/** A log that is all in memory and really signed: to be forked, rolled back and served wrongly, at any size. */
import { createHash } from 'node:crypto'
import { ed25519SignerFromSeed, generateEd25519Seed } from '../../src/ops/signing.ts'
import { concatBytes, decodeUtf8, encodeUtf8 } from '../../tlog/bytes.ts'
import { formatCheckpoint } from '../../tlog/checkpoint.ts'
import { asTreeSize, type TreeSize } from '../../tlog/coords.ts'
import { encodeEntryBundle } from '../../tlog/entry-bundle.ts'
import type { Hash } from '../../tlog/hash.ts'
import { signNote } from '../../tlog/note.ts'
import { ed25519KeyType, formatVkey, namedKey } from '../../tlog/note-key.ts'
import { slotCount, tileWidth } from '../../tlog/tile.ts'
import type { React, Said } from './hostile-server.ts'

export type TestKey = { readonly origin: string; readonly vkey: string; readonly sign: (text: string) => string }

export function makeKey(origin: string): TestKey {
  const { publicKey, sign } = ed25519SignerFromSeed(generateEd25519Seed())
  const key = namedKey(origin, ed25519KeyType, publicKey)
  const signer = { name: origin, keyId: key.keyId, sign }
  return { origin, vkey: formatVkey(key), sign: (text) => decodeUtf8(signNote(text, [signer])) }
}

/** The leaves `text 0`, `text 1` and so on; from `forkAt` on others. */
export function leavesOf(count: number, forkAt = count): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => encodeUtf8(`${i < forkAt ? 'leaf' : 'other leaf'} ${i}`))
}

const sha256 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

export class MemoryLog {
  readonly key: TestKey
  readonly leaves: readonly Uint8Array[]
  /** `[h]` holds the roots of all perfect subtrees of 2^h leaves. */
  readonly #nodes: Buffer[][] = []

  constructor(key: TestKey, leaves: readonly Uint8Array[]) {
    this.key = key
    this.leaves = leaves
    let row = leaves.map((leaf) => sha256(Uint8Array.of(0), leaf))
    while (row.length > 0) {
      this.#nodes.push(row)
      const below = row
      row = Array.from({ length: Math.floor(below.length / 2) }, (_, i) =>
        sha256(Uint8Array.of(1), below[2 * i] as Buffer, below[2 * i + 1] as Buffer),
      )
    }
  }

  get size(): TreeSize {
    return asTreeSize(this.leaves.length)
  }

  /** RFC 6962 2.1 from the perfect subtrees, biggest first. */
  root(size: number = this.size): Hash {
    const subtrees: Buffer[] = []
    for (let h = 53, at = 0; h >= 0; h--) {
      if (at + 2 ** h > size) continue
      subtrees.push(this.#nodes[h]?.[at / 2 ** h] as Buffer)
      at += 2 ** h
    }
    const root =
      subtrees.length === 0 ? sha256() : subtrees.reduceRight((right, left) => sha256(Uint8Array.of(1), left, right))
    return new Uint8Array(root) as Hash
  }

  note(size: number = this.size): string {
    return this.key.sign(formatCheckpoint({ origin: this.key.origin, size: asTreeSize(size), root: this.root(size) }))
  }

  tile(level: number, index: number, width: number): Uint8Array {
    const row = this.#nodes[8 * level] ?? []
    return concatBytes(...row.slice(tileWidth * index, tileWidth * index + width))
  }

  bundle(index: number, width: number): Uint8Array {
    return encodeEntryBundle(this.leaves.slice(tileWidth * index, tileWidth * index + width))
  }

  /** What a server of `size` leaves says. Where `fullOnly`, partial tiles of full ones are gone. */
  answer(path: string, size: number = this.size, fullOnly = false): Said {
    if (path === '/checkpoint') return { status: 200, body: this.note(size) }
    const match = /^\/tile\/(\d+|entries)\/((?:x\d{3}\/)*)(\d{3})(?:\.p\/(\d+))?$/.exec(path)
    const level = match?.[1] === 'entries' ? 0 : Number(match?.[1])
    const index = Number(`${match?.[2]?.replaceAll(/[x/]/g, '')}${match?.[3]}`)
    const width = match?.[4] === undefined ? tileWidth : Number(match[4])
    const slots = slotCount(level, asTreeSize(size)) - index * tileWidth
    const isGone = fullOnly && width < tileWidth && slots >= tileWidth
    if (!(width <= slots) || isGone) return { status: 404, body: '{"code":"not-found","detail":"no such tile"}' }
    return { status: 200, body: match?.[1] === 'entries' ? this.bundle(index, width) : this.tile(level, index, width) }
  }

  /** Serves this log in place of a real one. */
  serve(): React {
    return ({ path }) => this.answer(path)
  }
}
