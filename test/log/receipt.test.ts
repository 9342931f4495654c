import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { entryJson } from '../../src/log/entry-json.ts'
import { placedEntry, storedEntry } from '../../src/log/receipt.ts'
import { TileCache, type TilesBelow } from '../../src/log/tile-cache.ts'
import { TreeProofs } from '../../src/log/tree-proofs.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { readEntries } from '../../src/store/entries.ts'
import { asLeafIndex } from '../../tlog/coords.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkReceipt } from '../../tlog/receipt.ts'
import { appendLeafHashes, emptyEdge } from '../../tlog/tree-edge.ts'
import { createTestLog, recordsOf, schema, submissionOf, type TestLog } from '../support/log.ts'

describe('receipts of a log', () => {
  let home: TestLog
  beforeEach(async () => {
    home = await createTestLog()
  })
  afterEach(() => home.drop())

  test('of placed and of stored entries are the same, and hold offline', async () => {
    const { log, stop } = await home.start()
    const records = recordsOf(0, 700)
    const submissions = records.map((record) => submissionOf(record, 'token:one', 'http:192.0.2.1'))
    const placement = await log.submit(submissions)
    const checkpoint = await log.waitForCheckpoint(700)
    const stored = await readEntries(log.reader.query, schema, 1, 700)
    const verifier = textVerifier(parseVkey(home.keys.vkey), nodeSignatureCheck)
    for (let i = 0; i < 700; i += 7) {
      const placed = placedEntry(submissions[i] as (typeof submissions)[number], placement, i)
      const found = storedEntry(stored[i] as (typeof stored)[number])
      const receipt: unknown = parse(await log.receiptOf(placed, checkpoint))
      expect(parse(await log.receiptOf(found, checkpoint))).toEqual(receipt)
      const { fields } = checkReceipt(receipt, verifier, nativeSha256)
      expect(fields).toMatchObject({ sequenceNumber: i + 1, writer: 'token:one', actorId: `actor ${i}` })
      expect(parse(entryJson(found))).toMatchObject({ payload: records[i]?.payload, clientIp: '192.0.2.7' })
    }
    await stop()
    await home.check()
  })
})

function parse(json: Uint8Array): unknown {
  return JSON.parse(Buffer.from(json).toString('utf8'))
}

test('a proof from a tile that was altered is not handed out', async () => {
  const leaves = Buffer.from(Array.from({ length: 32 * 256 }, (_, i) => i % 251))
  const { edge, root, fullTiles } = appendLeafHashes(emptyEdge, leaves, nativeSha256)
  const below: TilesBelow = {
    readPart: async () => undefined,
    readTile: async () => {
      const altered = Uint8Array.from(leaves)
      altered[32] = 77
      return altered
    },
  }
  const checkpoint = {
    number: 1,
    treeSize: 256,
    root,
    timestampMs: 0,
    note: '',
    sthSignature: new Uint8Array(0),
    coseSignature: null,
  }
  const good = new TileCache(below, nativeSha256)
  good.add(edge, fullTiles)
  const prove = (tiles: TileCache) => new TreeProofs(tiles, nativeSha256).prove(asLeafIndex(0), checkpoint)
  expect((await prove(good)).hashes).toHaveLength(8)
  const bad = new TileCache(below, nativeSha256)
  await expect(prove(bad)).rejects.toMatchObject({ name: 'TlogError' })
})
