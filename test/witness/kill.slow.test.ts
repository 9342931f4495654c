import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ed25519SignerFromSeed, generateEd25519Seed } from '../../src/ops/signing.ts'
import { monitoringId } from '../../src/witness/witness.ts'
import { formatAddCheckpoint } from '../../tlog/add-checkpoint.ts'
import { encodeUtf8, formatHex } from '../../tlog/bytes.ts'
import { formatCheckpoint, parseCheckpoint } from '../../tlog/checkpoint.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { parseNote, signNote } from '../../tlog/note.ts'
import { formatVkey, namedKey } from '../../tlog/note-key.ts'
import { makeFolder, removeFolder, run } from '../cli/binary.ts'
import { startWitnessProgram, type WitnessProcess } from '../support/witness-program.ts'
import { referenceTree } from '../tlog/reference-tree.ts'

// The program, killed at any instruction while a log that equivocates asks for two histories at once.

const origin = 'log.example/killed'
const { publicKey, sign } = ed25519SignerFromSeed(generateEd25519Seed())
const key = namedKey(origin, 1, publicKey)

let folder = ''
let dataDir = ''
const started: WitnessProcess[] = []

beforeEach(async () => {
  folder = await makeFolder()
  dataDir = join(folder, 'witness')
  await run(['witness', 'init', '--name', 'witness.example/killed', '--keys', 'ed25519', '--data', dataDir])
  await run(['witness', 'add-log', formatVkey(key), '--data', dataDir])
})
afterEach(async () => {
  for (const { child, ended } of started.splice(0)) {
    child.kill('SIGKILL')
    await ended
  }
  await removeFolder(folder)
})

async function start(): Promise<WitnessProcess> {
  const witness = await startWitnessProgram(dataDir)
  started.push(witness)
  return witness
}

/** A request for the tree of these leaves, from one less. */
function requestOf(leaves: readonly Uint8Array[]): { readonly root: string; readonly body: Uint8Array } {
  const [tree, size] = [referenceTree(leaves), leaves.length]
  const root = tree.root(0, size)
  const text = formatCheckpoint({ origin, size: asTreeSize(size), root })
  const note = signNote(text, [{ name: origin, keyId: key.keyId, sign }])
  const proof = size === 1 ? [] : tree.proof(size - 1, size)
  return { root: formatHex(root), body: formatAddCheckpoint({ old: asTreeSize(size - 1), proof, note }) }
}

/** The status of an answer that came whole; undefined where the process was gone before. */
async function ask(url: string, body: Uint8Array): Promise<number | undefined> {
  try {
    const response = await fetch(`${url}/add-checkpoint`, { method: 'POST', body: new Uint8Array(body) })
    await response.text()
    return response.status
  } catch {
    return undefined
  }
}

/** What it says that it cosigned last. */
async function shown(url: string): Promise<{ readonly size: number; readonly root: string } | undefined> {
  const response = await fetch(`${url}/${monitoringId(origin)}/checkpoint`)
  if (response.status === 404) return undefined
  const { size, root } = parseCheckpoint(parseNote(new Uint8Array(await response.arrayBuffer())).text)
  return { size, root: formatHex(root) }
}

test('killed forty times, it has cosigned one history', async () => {
  const leaves: Uint8Array[] = []
  let [kills, cosigned, unanswered] = [0, 0, 0]
  // What an answer takes on this machine now: kills fall before, into and behind it.
  let answerMs = 6
  for (let witness = await start(); kills < 40; ) {
    const size = leaves.length + 1
    const branches = ['a', 'b'].map((branch) => encodeUtf8(`${branch} ${size} ${kills}`))
    const requests = branches.map((leaf) => requestOf([...leaves, leaf]))
    const mustDie = size % 2 === 0
    const askedAt = performance.now()
    const asking = Promise.all(requests.map(({ body }) => ask(witness.url, body)))
    if (mustDie) {
      const until = performance.now() + Math.random() * 2 * answerMs
      while (performance.now() < until) await new Promise((resolve) => setImmediate(resolve))
      witness.child.kill('SIGKILL')
    }
    const statuses = await asking
    if (!mustDie) answerMs = performance.now() - askedAt
    if (mustDie) {
      await witness.ended
      kills++
      witness = await start()
    }
    const taken = statuses.flatMap((status, i) => (status === 200 ? [i] : []))
    expect(taken.length).toBeLessThanOrEqual(1)
    const state = await shown(witness.url)
    const stands = requests.findIndex(({ root }) => state?.size === size && state.root === root)
    // What was answered stands; what was not may, or may not.
    if (taken[0] !== undefined) expect(stands).toBe(taken[0])
    if (stands < 0) expect(state?.size ?? 0).toBe(leaves.length)
    else leaves.push(branches[stands] as Uint8Array)
    cosigned += taken.length
    unanswered += statuses.filter((status) => status === undefined).length
  }
  // Otherwise no kill met a request.
  expect(cosigned).toBeGreaterThan(20)
  expect(unanswered).toBeGreaterThan(5)
}, 240_000)

test('a record that was cut off while it was written is not there; one that was altered keeps it from starting', async () => {
  const witness = await start()
  const first = requestOf([encodeUtf8('first')])
  expect(await ask(witness.url, first.body)).toBe(200)
  witness.child.kill('SIGKILL')
  await witness.ended
  const journal = join(dataDir, 'cosigned')
  const whole = await readFile(journal)
  await appendFile(journal, whole.subarray(0, whole.length / 2))
  const again = await start()
  expect(await shown(again.url)).toEqual({ size: 1, root: first.root })
  again.child.kill('SIGTERM')
  expect(await again.ended).toBe(0)
  const altered = Buffer.from(whole)
  altered[altered.length >> 1] = (altered[altered.length >> 1] as number) ^ 1
  await writeFile(journal, Buffer.concat([altered, whole]))
  await expect(startWitnessProgram(dataDir)).rejects.toThrow('status 2')
})
