import type { Context, Hono } from 'hono'
import { proveConsistency } from '../../src/log/proofs.ts'
import type { StoredCheckpoint } from '../../src/store/checkpoints.ts'
import { formatBase64 } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize, type TreeSize } from '../../tlog/coords.ts'
import { openToBrowsers } from '../cors.ts'
import { deadlineIn } from '../deadline.ts'
import { checkQuery, malformed, readDecimal, readQuery } from '../parameters.ts'
import type { Env, Server } from '../server.ts'

/** `GET /v1/proofs/inclusion` and `/v1/proofs/consistency`, for any size up to that of the newest checkpoint. */
export function routeProofs(app: Hono<Env>, server: Server): void {
  openToBrowsers(app, '/v1/proofs/*')
  app.get('/v1/proofs/inclusion', async (c) => {
    checkQuery(c, ['index', 'size'])
    const checkpoint = server.log.published
    const size = publishedSize(c, checkpoint, 'size')
    const index = readDecimal(readQuery(c, 'index'), 'index')
    if (index >= size) throw malformed('index', `${index} is not below size ${size}`)
    const proving = server.log.proofs.proveAt(asLeafIndex(index), size, checkpoint)
    const hashes = await deadlineIn(server.times.answerMs).within(proving, notReadInTime)
    return c.json({ leafIndex: index, treeSize: size, hashes: hashes.map(formatBase64) })
  })
  app.get('/v1/proofs/consistency', async (c) => {
    checkQuery(c, ['from', 'to'])
    const checkpoint = server.log.published
    const to = publishedSize(c, checkpoint, 'to')
    const from = readDecimal(readQuery(c, 'from'), 'from')
    if (from > to) throw malformed('from', `${from} is above to ${to}`)
    const proving = proveConsistency(server.log.tiles, asTreeSize(from), to, checkpoint, server.hash)
    const hashes = await deadlineIn(server.times.answerMs).within(proving, notReadInTime)
    return c.json({ from, to, hashes: hashes.map(formatBase64) })
  })
}

const notReadInTime = 'the tiles could not be read in time'

function publishedSize(c: Context, { treeSize }: StoredCheckpoint, parameter: string): TreeSize {
  const size = readDecimal(readQuery(c, parameter), parameter)
  if (size > treeSize) throw malformed(parameter, `${size} is above the newest checkpoint's ${treeSize}`)
  return asTreeSize(size)
}
