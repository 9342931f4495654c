import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkReceipt, parseReceipt } from '../../tlog/receipt.ts'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { watch } from './examples/monitor.ts'
import { whoDidIt } from './examples/read.ts'
import { watchEntries } from './examples/rules.ts'
import { logDownload, type Settings } from './examples/submit.ts'
import { drain } from './examples/submit-many.ts'
import { openHostileServer } from './hostile-server.ts'

let api: TestApi
let writer: Settings
let auditor: Settings
let folder: string

beforeAll(async () => {
  api = await openTestApi()
  const url = `http://127.0.0.1:${(await api.listen()).port}`
  writer = { url, vkey: api.test.keys.vkey, token: api.tokens.writer }
  auditor = { ...writer, token: api.tokens.auditor }
  folder = await mkdtemp(join(tmpdir(), 'dendrolog-examples-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true, force: true, maxRetries: 10 })
  await api.close()
})

test('submit.ts keeps the event, then the receipt', async () => {
  const kept: string[] = []
  expect(await logDownload(writer, 'alice', (text) => kept.push(text))).toMatch(/^entry \d+ of test\.example\/log$/)
  expect(kept).toHaveLength(2)
  const { fields } = checkReceipt(
    parseReceipt(encodeUtf8(kept[1] as string)),
    textVerifier(parseVkey(writer.vkey), nodeSignatureCheck),
  )
  expect(fields.actorId).toBe('alice')
  expect(await logDownload(writer, '', () => {})).toContain('will never be logged: malformed-submission at /actorId')
})

test('submit-many.ts logs what can be logged', async () => {
  async function* queue(): AsyncGenerator<ReturnType<typeof eventOf>> {
    for (let n = 0; n < 20; n++) yield eventOf(n)
  }
  const eventOf = (n: number) => ({ actorId: n === 7 ? '' : 'bob', action: 'a', resource: 'r', payload: { n } })
  const refused: string[] = []
  expect(await drain(writer, queue(), ({ payload }, reason) => refused.push(`${payload.n} ${reason}`))).toBe(19)
  expect(refused).toEqual([expect.stringMatching(/^7 malformed-submission: /)])
})

test('rules.ts tells of what rules match, once, also where it ended between', async () => {
  const file = join(folder, 'rules-state')
  const threshold = { count: 3, withinSeconds: 3_600 }
  const rules = encodeUtf8(JSON.stringify({ rules: [{ name: 'burst', match: { actorId: 'dave' }, threshold }] }))
  const told: string[] = []
  const look = () => watchEntries(auditor, rules, file, (match) => told.push(match))
  for (let n = 0; n < 2; n++) await api.post(submissionWith({ actorId: 'dave' }))
  expect([await look(), told]).toEqual(['advanced', []])
  await api.post(submissionWith({ actorId: 'dave' }))
  expect([await look(), told]).toEqual(['advanced', [expect.stringContaining('burst: 3 or more within 3600 s')]])
  expect([await look(), told.length]).toEqual(['unchanged', 1])
})

test('read.ts tells who did it, and that a server lies', async () => {
  const { json } = await api.post(submissionWith({ actorId: 'carol' }))
  const { sequenceNumber } = json.entry as { sequenceNumber: number }
  expect(await whoDidIt(auditor, sequenceNumber)).toBe('carol did document.read on doc/1: {"reason":"review"}')
  const lying = await openHostileServer(auditor.url, async (_, forward) => {
    const said = await forward()
    return {
      ...said,
      body: Buffer.from(
        Buffer.from(said.body as Uint8Array)
          .toString('latin1')
          .replace('review', 'reveal'),
        'latin1',
      ),
    }
  })
  try {
    expect(await whoDidIt({ ...auditor, url: lying.url }, sequenceNumber)).toContain('never signed')
  } finally {
    await lying.close()
  }
})

test('monitor.ts prints entries once over two runs', async () => {
  const file = join(folder, 'checkpoint')
  const lines: string[] = []
  const run = async (): Promise<void> => {
    const stopping = new AbortController()
    const print = (line: string): void => {
      lines.push(line)
      if (line.startsWith('in order')) stopping.abort()
    }
    await watch(auditor, file, print, stopping.signal)
  }
  await run()
  const { json } = await api.post(submissionWith({ actorId: 'dave' }))
  const { sequenceNumber } = json.entry as { sequenceNumber: number }
  await run()
  expect(lines.slice(-2)).toEqual([`${sequenceNumber} dave document.read`, `in order up to size ${sequenceNumber}`])
  const numbers = lines.filter((line) => /^\d/.test(line)).map((line) => Number(line.split(' ')[0]))
  expect(numbers).toEqual(Array.from({ length: sequenceNumber }, (_, i) => i + 1))
  expect(await readFile(file, 'utf8')).toContain(`\n${sequenceNumber}\n`)
})
