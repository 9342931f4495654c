// Asks a witness for cosignatures of many logs, each growing by one entry a time, as fast as it answers.
import { createHash } from 'node:crypto'
import { ed25519SignerFromSeed } from '../../src/ops/signing.ts'
import { formatAddCheckpoint } from '../../tlog/add-checkpoint.ts'
import { formatCheckpoint } from '../../tlog/checkpoint.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { type Hash, leafHash, nobleSha256, nodeHash } from '../../tlog/hash.ts'
import { signNote } from '../../tlog/note.ts'
import { formatVkey, namedKey } from '../../tlog/note-key.ts'
import { planConsistencyProof } from '../../tlog/proof.ts'
import { quantile } from '../statistics.ts'
import { openConnections, postHead } from './connection.ts'
import { serveLoad } from './load-process.ts'

export type WitnessLoad = {
  readonly port: number
  readonly logs: number
  readonly connections: number
  readonly seconds: number
}

export type WitnessResult = { readonly rate: number; readonly p99Ms: number; readonly failed: number }

/** A log: nobody else has its key, which is of its number. */
export function logOf(i: number): {
  readonly origin: string
  readonly vkey: string
  readonly sign: (text: string) => Uint8Array
} {
  const origin = `bench.example/log-${i}`
  const seed = createHash('sha256').update(`bench ${i}`).digest()
  const signer = ed25519SignerFromSeed(seed)
  const key = namedKey(origin, 1, signer.publicKey)
  const sign = (text: string): Uint8Array => signNote(text, [{ name: origin, keyId: key.keyId, sign: signer.sign }])
  return { origin, vkey: formatVkey(key), sign }
}

/** All logs have the same entries: what is measured is the witness. */
class SharedTree {
  readonly #roots = new Map<string, Hash>()

  root(lo: number, hi: number): Hash {
    const key = `${lo} ${hi}`
    const known = this.#roots.get(key)
    if (known !== undefined) return known
    const made = this.#make(lo, hi)
    this.#roots.set(key, made)
    return made
  }

  proof(from: number, to: number): readonly Hash[] {
    if (from === 0) return []
    return planConsistencyProof(asTreeSize(from), asTreeSize(to)).map(({ lo, hi }) => this.root(lo, hi))
  }

  #make(lo: number, hi: number): Hash {
    if (hi - lo === 1) return leafHash(Buffer.from(`entry ${lo}`), nobleSha256)
    const split = 2 ** Math.ceil(Math.log2(hi - lo) - 1)
    return nodeHash(this.root(lo, lo + split), this.root(lo + split, hi), nobleSha256)
  }
}

async function run({ port, logs: count, connections: width, seconds }: WitnessLoad): Promise<WitnessResult> {
  const tree = new SharedTree()
  const logs = Array.from({ length: count }, (_, i) => ({ ...logOf(i), size: 0 }))
  const connections = await openConnections(port, width)
  const latenciesMs: number[] = []
  let failed = 0
  const startedAt = performance.now()
  const endsAt = startedAt + seconds * 1_000
  await Promise.all(
    connections.map(async (connection, i) => {
      // Each connection has logs of its own: a log asks one thing at a time.
      const own = logs.filter((_, j) => j % width === i)
      for (let turn = 0; performance.now() < endsAt; turn++) {
        const log = own[turn % own.length]
        if (log === undefined) return
        const size = log.size + 1
        const text = formatCheckpoint({ origin: log.origin, size: asTreeSize(size), root: tree.root(0, size) })
        const proof = tree.proof(log.size, size)
        const body = formatAddCheckpoint({ old: asTreeSize(log.size), proof, note: log.sign(text) })
        const askedAt = performance.now()
        const { status } = await connection.ask(postHead('/add-checkpoint', 'text/plain', '', body.length), body)
        if (status === 200) {
          latenciesMs.push(performance.now() - askedAt)
          log.size = size
        } else failed++
      }
    }),
  )
  const elapsedMs = performance.now() - startedAt
  for (const connection of connections) connection.close()
  return { rate: (latenciesMs.length * 1_000) / elapsedMs, p99Ms: quantile(latenciesMs, 0.99), failed }
}

if (process.send !== undefined) await serveLoad(run)
