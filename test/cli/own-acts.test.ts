import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { resultJson } from '../../src/cli/check/describe.ts'
import { judgeBytes } from '../../src/cli/check/judge.ts'
import { askForReceipt } from '../../src/cli/prove/make-proof.ts'
import { LogClient } from '../../src/client/log-client.ts'
import { makeId } from '../../src/ingest/make-id.ts'
import { createSignAct, submissionOfAct } from '../../src/log/own-act-entry.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { ed25519SignerFromSeed, nodeSignatureCheck } from '../../src/ops/signing.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { type AnyNoteSigner, textVerifier } from '../../tlog/note.ts'
import { ed25519KeyType, namedKey, parseVkey, type VerifierKey } from '../../tlog/note-key.ts'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { makeFolder, removeFolder, run } from './binary.ts'

// The real program on receipts of entries whose action is for the log's own acts.

let api: TestApi
let folder = ''
let url = ''
let vkey = ''
beforeAll(async () => {
  api = await openTestApi()
  folder = await makeFolder()
  url = `http://127.0.0.1:${(await api.listen()).port}`
  vkey = api.server.identity.vkey
  await api.post(submissionWith())
  await act(api.test.keys.signing.note, parseVkey(vkey))
  const { publicKey, sign } = ed25519SignerFromSeed(new Uint8Array(32).fill(9))
  const other = namedKey(api.server.identity.origin, ed25519KeyType, publicKey)
  await act({ name: other.name, keyId: other.keyId, sign }, other)
  await api.post(submissionWith())
})
afterAll(async () => {
  await api.close()
  await removeFolder(folder)
})

/** An entry of an act, as whoever stands at the log's own door could submit it. */
async function act(signer: AnyNoteSigner, key: VerifierKey): Promise<void> {
  const signed = await createSignAct({ signer, makeId, nowMs: Date.now, hash: nativeSha256 })({
    ...{ action: 'dendrolog.token.revoked', actorId: 'token:admin', resource: 'token:billing' },
    detail: { role: 'writer' },
  })
  await api.log.submit([submissionOfAct(signed, textVerifier(key, nodeSignatureCheck), nativeSha256)])
}

async function receiptOf(index: number): Promise<string> {
  const client = new LogClient({ url, vkey, token: api.tokens.auditor })
  return askForReceipt(client, { kind: 'index', index }, new AbortController().signal)
}

async function judged(index: number): Promise<Readonly<Record<string, unknown>>> {
  return resultJson(judgeBytes(encodeUtf8(await receiptOf(index)), parseVkey(vkey)))
}

test('an act that the log signed holds, and is said to be one; what a client logged is none', async () => {
  const { status, stdout } = await run(['check', '-', '--vkey', vkey], {}, await receiptOf(1))
  expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringContaining('"dendrolog.token.revoked"') })
  expect(stdout).toContain('\n  an act of the log itself, signed by it\n')
  expect(await judged(1)).toMatchObject({ holds: true, isOwnAct: true })
  expect(await judged(0)).toMatchObject({ holds: true, isOwnAct: false })
})

test('an act that is in the tree and that the log did not sign does not hold: status 1', async () => {
  const { status, stdout } = await run(['check', '-', '--vkey', vkey], {}, await receiptOf(2))
  expect(status).toBe(1)
  expect(stdout).toMatch(/^does NOT hold: act-mismatch: .*which did not sign this one/)
  expect(await judged(2)).toMatchObject({ holds: false, code: 'act-mismatch', isOwnAct: null })
})

test('prove says the same of what a server answers', async () => {
  const tokens = join(folder, 'tokens.json')
  await writeFile(tokens, JSON.stringify(api.tokens), { mode: 0o600 })
  const args = (index: number): string[] => ['prove', `${index}`, '--vkey', vkey, '--url', url, '--token-file', tokens]
  const proved = await run(args(1))
  expect([proved.status, proved.stderr]).toEqual([0, expect.stringContaining('an act of the log itself')])
  expect(await run(args(2))).toMatchObject({ status: 1, stdout: expect.stringContaining('act-mismatch') })
})
