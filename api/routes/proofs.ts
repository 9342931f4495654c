import type { Hono } from 'hono'
import { formatBase64 } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize, type TreeSize } from '../../tlog/coords.ts'
import { buildConsistencyProof, buildInclusionProof } from '../../tlog/proof.ts'
import { readDecimal } from '../parameters.ts'
import { Problem } from '../problem.ts'
import type { Env, Server } from '../server.ts'

/** `GET /v1/proofs/inclusion` and `/v1/proofs/consistency`, for any size that is published. */
export function routeProofs(app: Hono<Env>, server: Server): void {
  app.get('/v1/proofs/inclusion', async (c) => {
    const size = publishedSize(server, c.req.query('size'), 'size')
    const index = readDecimal(c.req.query('index'), 'index')
    if (index >= size)
      throw new Problem('malformed-parameter', `index ${index}: size is ${size}`, { parameter: 'index' })
    const hashes = await buildInclusionProof(server.log.tiles, asLeafIndex(index), size, server.hash)
    return c.json({ leafIndex: index, treeSize: size, hashes: hashes.map(formatBase64) })
  })
  app.get('/v1/proofs/consistency', async (c) => {
    const to = publishedSize(server, c.req.query('to'), 'to')
    const from = readDecimal(c.req.query('from'), 'from')
    if (from > to) throw new Problem('malformed-parameter', `from ${from} is above to ${to}`, { parameter: 'from' })
    // Everything extends the empty tree, and a tree itself: no hashes are needed.
    const isTrivial = from === 0 || from === to
    const hashes = isTrivial ? [] : await buildConsistencyProof(server.log.tiles, asTreeSize(from), to, server.hash)
    return c.json({ from, to, hashes: hashes.map(formatBase64) })
  })
}

function publishedSize(server: Server, text: string | undefined, parameter: string): TreeSize {
  const size = readDecimal(text, parameter)
  const published = server.log.published.treeSize
  if (size > published) {
    throw new Problem('malformed-parameter', `${parameter} ${size}: the newest checkpoint has ${published}`, {
      parameter,
    })
  }
  return asTreeSize(size)
}
