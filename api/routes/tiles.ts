import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Context, Hono } from 'hono'
import { readEntryBundle } from '../../src/log/published-entries.ts'
import type { StoredCheckpoint } from '../../src/store/checkpoints.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { TlogError } from '../../tlog/errors.ts'
import {
  type BundleCoord,
  isTileOfSize,
  parseTilePath,
  type TileCoord,
  type TilePath,
  tileWidth,
} from '../../tlog/tile.ts'
import { acceptsCoding } from '../accept.ts'
import { publishedLog, readersOf, requireReader } from '../answer-read.ts'
import { answerBytes } from '../answer-share.ts'
import { openHeaders, openToBrowsers } from '../cors.ts'
import { deadlineIn } from '../deadline.ts'
import type { Env } from '../env.ts'
import { headerOf } from '../header.ts'
import { describe, type Operation } from '../operation.ts'
import { anyText, readQuery, required } from '../parameters.ts'
import { Problem } from '../problem.ts'
import { publishedUpTo } from '../published.ts'
import { bytes } from '../schema.ts'
import type { Server } from '../server.ts'

const compress = promisify(gzip)
const notReadInTime = 'the tiles could not be read in time'
const year = 'max-age=31536000, immutable'

/**
 * `GET /tile/...` and `/tile/entries/...` (C2SP tlog-tiles), for the size of the newest checkpoint: what it does not
 * cover is 404, or caches would keep a tree that nobody signed.
 */
export function routeTiles(app: Hono<Env>, server: Server): void {
  openToBrowsers(app, '/tile/*')
  const answer = async (c: Context<Env>): Promise<Response> => {
    const path = readPath(c)
    return path.kind === 'tile' ? answerTile(server, c, path) : answerBundle(server, c, path)
  }
  app.get(
    '/tile/entries/*',
    describe({ ...bundles, who: readersOf(server) }, (c) => answer(c)),
  )
  app.get(
    '/tile/*',
    describe(tiles, (c) => answer(c)),
  )
}

const index = required(anyText, 'The index in groups of three digits, `x001/067`; of a partial tile with `.p/{width}`')

const tiles: Operation = {
  id: 'readTile',
  summary: 'Tile of hashes (C2SP tlog-tiles)',
  who: 'everybody',
  path: '/tile/{level}/{index}',
  pathParameters: { level: required(anyText, 'Level of the tile, 0 for leaf hashes'), index },
  answers: { 200: { doc: 'Hashes of 32 bytes', content: { 'application/octet-stream': bytes } } },
  problems: ['not-found'],
}

const bundles: Omit<Operation, 'who'> = {
  id: 'readEntryBundle',
  summary: 'Entry bundle (C2SP tlog-tiles)',
  path: '/tile/entries/{index}',
  pathParameters: { index },
  answers: {
    200: { doc: 'Leaves, each after its length in two bytes', content: { 'application/octet-stream': bytes } },
  },
  problems: ['not-found', 'entry-damaged'],
}

/** Every other spelling is 404: one resource has one name. */
function readPath(c: Context<Env>): TilePath {
  try {
    readQuery(c, {})
    // Nothing in these names needs an escape, and caches take what is escaped for something else.
    if (c.req.url.includes('%')) throw new TlogError('malformed-tile', 'an escape in the path of a tile')
    return parseTilePath(c.req.path.slice(1))
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw new Problem('not-found', `there is no ${c.req.path.slice(0, 200)}: ${error.message}`)
  }
}

async function answerTile(server: Server, c: Context<Env>, coord: TileCoord): Promise<Response> {
  const checkpoint = await checkPublished(server, coord)
  const reading = server.log.served.read(coord, checkpoint)
  const tile = await deadlineIn(server.times.answerMs).within(reading, notReadInTime)
  const headers = { 'content-type': 'application/octet-stream', 'cache-control': `public, ${year}` }
  return answerBytes(server.openBudget, c, tile, openHeaders(c, headers))
}

/** Leaves are auditors' data: guesses at payloads can be tested against the hashes in them. */
async function answerBundle(server: Server, c: Context<Env>, coord: BundleCoord): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireReader(server, c, deadline)
  const checkpoint = await checkPublished(server, { ...coord, level: 0 })
  const reading = readEntryBundle(publishedLog(server, checkpoint), coord.index, coord.width)
  const bundle = await deadline.within(reading, notReadInTime)
  const packed = acceptsCoding(headerOf(c, 'accept-encoding'), 'gzip') ? await compress(bundle) : undefined
  const headers = {
    'content-type': 'application/octet-stream',
    'cache-control': `${server.publicEntries ? 'public' : 'private'}, ${year}`,
    vary: server.publicEntries ? 'Accept-Encoding' : 'Accept-Encoding, Authorization',
    ...(packed === undefined ? {} : { 'content-encoding': 'gzip' }),
  }
  return answerBytes(server.readBudget, c, packed ?? bundle, headers)
}

async function checkPublished(server: Server, coord: TileCoord): Promise<StoredCheckpoint> {
  const size = (coord.index * tileWidth + coord.width) * tileWidth ** coord.level
  const checkpoint = await publishedUpTo(server, size)
  if (isTileOfSize(coord, asTreeSize(checkpoint.treeSize))) return checkpoint
  throw new Problem('not-found', `the tree of ${checkpoint.treeSize} leaves that is published has no such tile`)
}
