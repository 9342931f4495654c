import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Context, Hono } from 'hono'
import { readEntryBundle } from '../../src/log/published-entries.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { TlogError } from '../../tlog/errors.ts'
import { type BundleCoord, isTileOfSize, parseTilePath, type TileCoord, type TilePath } from '../../tlog/tile.ts'
import { publishedLog, requireReader } from '../answer-read.ts'
import { openToBrowsers } from '../cors.ts'
import { deadlineIn } from '../deadline.ts'
import { headerOf } from '../header.ts'
import { checkQuery } from '../parameters.ts'
import { Problem } from '../problem.ts'
import type { Env, Server } from '../server.ts'

const compress = promisify(gzip)
const notReadInTime = 'the tiles could not be read in time'
const year = 'max-age=31536000, immutable'

/**
 * `GET /tile/...` and `/tile/entries/...` (C2SP tlog-tiles), for the size of the newest checkpoint: what it does not
 * cover is 404, or caches would keep a tree that nobody signed.
 */
export function routeTiles(app: Hono<Env>, server: Server): void {
  openToBrowsers(app, '/tile/*')
  app.get('/tile/*', async (c) => {
    const path = readPath(c)
    return path.kind === 'tile' ? answerTile(server, c, path) : answerBundle(server, c, path)
  })
}

/** Every other spelling is 404: one resource has one name. */
function readPath(c: Context<Env>): TilePath {
  try {
    checkQuery(c, [])
    // Nothing in these names needs an escape, and caches take what is escaped for something else.
    if (c.req.url.includes('%')) throw new TlogError('malformed-tile', 'an escape in the path of a tile')
    return parseTilePath(c.req.path.slice(1))
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw new Problem('not-found', `there is no ${c.req.path.slice(0, 200)}: ${error.message}`)
  }
}

async function answerTile(server: Server, c: Context<Env>, coord: TileCoord): Promise<Response> {
  checkPublished(server, coord)
  const reading = server.log.tiles.readTile(coord.level, coord.index, coord.width)
  const tile = await deadlineIn(server.times.answerMs).within(reading, notReadInTime)
  const headers = { 'content-type': 'application/octet-stream', 'cache-control': `public, ${year}` }
  return c.body(tile as Uint8Array<ArrayBuffer>, 200, headers)
}

/** Leaves are auditors' data: guesses at payloads can be tested against the hashes in them. */
async function answerBundle(server: Server, c: Context<Env>, coord: BundleCoord): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireReader(server, c, deadline)
  checkPublished(server, { ...coord, level: 0 })
  const reading = readEntryBundle(publishedLog(server, server.log.published), coord.index, coord.width)
  const bundle = await deadline.within(reading, notReadInTime)
  const packed = acceptsGzip(headerOf(c, 'accept-encoding')) ? await compress(bundle) : undefined
  const headers = {
    'content-type': 'application/octet-stream',
    'cache-control': `${server.publicEntries ? 'public' : 'private'}, ${year}`,
    vary: server.publicEntries ? 'Accept-Encoding' : 'Accept-Encoding, Authorization',
    ...(packed === undefined ? {} : { 'content-encoding': 'gzip' }),
  }
  return c.body((packed ?? bundle) as Uint8Array<ArrayBuffer>, 200, headers)
}

function checkPublished(server: Server, coord: TileCoord): void {
  const { treeSize } = server.log.published
  if (isTileOfSize(coord, asTreeSize(treeSize))) return
  throw new Problem('not-found', `the tree of ${treeSize} leaves that is published has no such tile`)
}

/** RFC 9110 12.5.3: named, or covered by `*`, and not with weight 0. */
function acceptsGzip(header: string | undefined): boolean {
  const weights = new Map(
    (header ?? '').split(',').map((part) => {
      const [name = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase())
      const weight = parameters.find((text) => text.startsWith('q='))?.slice(2) ?? '1'
      return [name, Number(weight)]
    }),
  )
  return (weights.get('gzip') ?? weights.get('*') ?? 0) > 0
}
