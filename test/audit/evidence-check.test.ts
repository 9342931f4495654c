import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeFinding } from '../../src/audit/describe-finding.ts'
import { checkEvidence, type EvidenceReview, evidenceSpan } from '../../src/audit/evidence-check.ts'
import { keyOf } from '../../src/audit/finding-key.ts'
import { Findings } from '../../src/audit/findings.ts'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { schema } from '../support/log.ts'

// Stored evidence of a log with three witnesses against its notes; what holds is said by the reviewer that is given.

let api: TestApi
let next: number
beforeAll(async () => {
  api = await openTestApi({ witnesses: 3 })
  for (let i = 0; i < 3; i++) await api.post(submissionWith(), {}, '?wait=witnessed')
  const [row] = await api.sql('select max(number) + 1 as next from security.checkpoints')
  next = Number(row?.next)
  await api.sql(
    `insert into security.anchors (anchor_id, checkpoint_number, kind, evidence)
     values (gen_random_uuid(), 1, 'log/x', 'one'), (gen_random_uuid(), 2, 'rfc3161/y', 'two'),
            (gen_random_uuid(), 999999, 'rfc3161/y', 'gone')`,
  )
})
afterAll(() => api.close())

async function check(review: EvidenceReview | undefined, from = 0): Promise<readonly string[]> {
  const findings = new Findings()
  await checkEvidence(api.log.reader.query, schema, review, { from, next }, findings)
  return findings.inOrder(3).map((finding) => `${finding.kind} ${describeFinding(finding)}`)
}

const holds: EvidenceReview = { anchor: () => undefined, cosignature: () => undefined }

test('what holds is no finding; an anchor without its checkpoint is one', async () => {
  const gone = 'ANCHOR_INVALID anchor rfc3161/y of checkpoint 999999: its checkpoint is not there'
  expect(await check(holds)).toEqual([gone])
  expect(await check(undefined)).toEqual([])
})

test('each anchor and cosignature is given to the review with the note that it is of', async () => {
  const seen: string[] = []
  await check({
    anchor: (note, kind, evidence) => {
      seen.push(`${kind} ${Buffer.from(evidence).toString()} ${note.split('\n')[1]}`)
      return undefined
    },
    cosignature: (note, line) => {
      expect(line).toMatch(/^\u2014 w\d\.example /)
      expect(note).toContain('\n\n\u2014 ')
      return undefined
    },
  })
  const sizes = await api.sql(
    'select number, tree_size from security.checkpoints where number in (1, 2) order by number',
  )
  expect(seen).toEqual([`log/x one ${sizes[0]?.tree_size}`, `rfc3161/y two ${sizes[1]?.tree_size}`])
})

test('findings name checkpoint and author, each by a key of its own', async () => {
  const findings = new Findings()
  const review = { anchor: () => 'is of another note', cosignature: () => 'does not hold' }
  await checkEvidence(api.log.reader.query, schema, review, { from: 0, next }, findings)
  const all = findings.inOrder(3)
  const [{ count } = {}] = await api.sql('select count(*) from security.cosignatures')
  expect(all.filter(({ kind }) => kind === 'COSIGNATURE_INVALID').length).toBe(Number(count))
  expect(all.filter(({ kind }) => kind === 'ANCHOR_INVALID').length).toBe(3)
  expect(new Set(all.map(keyOf)).size).toBe(all.length)
})

test('from a number on', async () => {
  const reviewed = await check({ ...holds, anchor: () => 'bad' }, 2)
  expect(reviewed.map((each) => /checkpoint \d+/.exec(each)?.[0])).toEqual(['checkpoint 2', 'checkpoint 999999'])
  expect([evidenceSpan(0, 5_000, 5_010), evidenceSpan(1, 5_000, 5_010)]).toEqual([
    { from: 0, next: 5_010 },
    { from: 4_700, next: 5_010 },
  ])
})
