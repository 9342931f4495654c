import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder, program, removeFolder, run, runShell } from './binary.ts'

let folder = ''
let dataDir = ''

beforeAll(async () => {
  folder = await makeFolder()
  dataDir = join(folder, 'data')
})

afterAll(() => removeFolder(folder))

const commands = [
  'serve',
  'init',
  'append',
  'prove',
  'check',
  'tokens',
  'keys',
  'incident',
  'recover',
  'rules',
  'migrate',
  'config',
]

test('--help lists the commands, and each explains itself', async () => {
  const all = await run(['--help'])
  expect(all).toMatchObject({ status: 0, stderr: '' })
  for (const command of commands) {
    expect(all.stdout).toContain(`  ${command} `)
    const one = await run([command, '--help'])
    expect(one).toMatchObject({ status: 0, stderr: '' })
    expect(one.stdout).toMatch(new RegExp(`^usage: dendrolog ${command} `))
  }
})

test('help COMMAND is COMMAND --help, and a word of tokens has a page of its own', async () => {
  expect(await run(['help', 'append'])).toEqual(await run(['append', '--help']))
  expect((await run(['help', 'nothing'])).status).toBe(2)
  const make = await run(['tokens', 'make', '--help'])
  expect(make).toMatchObject({ status: 0, stdout: expect.stringMatching(/^usage: dendrolog tokens make NAME --role /) })
  expect(make.stdout).not.toContain('revoke ID|NAME')
  expect(await run(['help', 'tokens', 'make'])).toEqual(make)
})

test('--version says which one this is', async () => {
  const { version } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
    version: string
  }
  expect(await run(['--version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' })
})

test('a full disk below standard output is no violation: status 2', async () => {
  expect(await runShell(`node ${program} --help > /dev/full`, folder)).toMatchObject({ status: 2 })
})

test.each([
  [[], 'want a command'],
  [['frobnicate'], 'there is no command "frobnicate"'],
  [['__proto__'], 'there is no command "__proto__"'],
  [['serve', '--port', '1'], "serve: Unknown option '--port'"],
  [['init', 'now'], 'init: unexpected argument "now"'],
  [['config', '--json=yes'], "config: Option '--json' does not take an argument"],
  [['check'], 'check: want the file of a receipt'],
  [['check', 'x'], 'check: want one of --vkey and --vkey-file'],
  [['keys'], 'keys: want show, export, encrypt or decrypt'],
  [['keys', 'show', '--format', 'pem'], 'keys: --format is for export'],
  [['keys', 'export', '--format', 'der'], 'keys: --format: want one of vkey, pem, jwk, spki'],
  [['incident'], 'incident: want list, show, close, dead-letters, retry'],
  [['incident', 'show'], 'incident: show: want an id'],
  [['incident', 'show', 'x'], 'incident: got "x", want the id'],
  [['incident', 'list', '--reason', 'x'], 'incident: list takes no --reason'],
  [['incident', 'close', '01893f9c-3488-7000-8000-000000000001'], 'incident: close: want --reason TEXT'],
  [['incident', 'retry'], 'incident: retry: want an id, or --all'],
  [['recover', '--reason', 'x'], 'recover: --reason is for --end-log'],
  [['recover', '--end-log', 'x', '--from', 'y'], 'recover: --from and --dry-run are for rolling forward'],
  [['recover', '--end-log', 'x', '--reason', 'y'], 'recover: --end-log: want --new-origin and --reason'],
  [['rules', 'show'], 'rules: want check'],
  [['rules', 'check'], 'rules: check: want the file of the rules'],
  [['append', '-', '--url', 'ftp://x'], 'append: --url: want http'],
  [['append', '-', '--batch', '0'], 'append: --batch: want a number'],
])('bad use is refused with a line, the usage and status 2: %j', async (args, reason) => {
  const { status, stdout, stderr } = await run(args)
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
  expect(stderr.split('\n')[0]).toContain(`dendrolog: ${reason}`)
  expect(stderr).toContain('usage: dendrolog')
})

test('config shows every setting with its source, and no password', async () => {
  const environment = { DATABASE_URL: 'postgres://me:secret@db/log', DENDROLOG_CHECKPOINT_INTERVAL_MS: '50' }
  const { status, stdout } = await run(['config', '--json'], environment)
  expect(status).toBe(0)
  expect(stdout).not.toContain('secret')
  const { settings, error } = JSON.parse(stdout) as { settings: Record<string, string>[]; error: string | null }
  expect(error).toBeNull()
  expect(settings.find(({ name }) => name === 'DENDROLOG_CHECKPOINT_INTERVAL_MS')).toMatchObject({
    ...{ value: '50', default: '200', unit: 'ms', source: 'environment' },
  })
  const table = (await run(['config'], environment)).stdout
  for (const { name } of settings) expect(table).toContain(`${name} `)
})

test('config shows a setting that cannot be used and what is wrong with it', async () => {
  const { status, stdout } = await run(['config'], { PORT: 'http' })
  expect(status).toBe(2)
  expect(stdout).toMatch(/^PORT +http +8080/m)
  expect(stdout).toMatch(/^error: PORT: want an integer/m)
})

test('a mistyped setting is said once, without its value, and listed by config', async () => {
  const environment = { DENDROLOG_DATA_DIRR: 'a secret', PORT: 'http' }
  const line = 'DENDROLOG_DATA_DIRR is no setting and is not read; was DENDROLOG_DATA_DIR meant?'
  const { stderr } = await run(['serve'], environment)
  expect(stderr.split('\n').slice(0, -1)).toEqual([
    `dendrolog: warning: ${line}`,
    expect.stringContaining('PORT: want'),
  ])
  expect((await run(['config'], environment)).stdout).toMatch(new RegExp(`^${line.replace('?', '\\?')}$`, 'm'))
  expect(JSON.parse((await run(['config', '--json'], environment)).stdout)).toMatchObject({
    unknown: [{ name: 'DENDROLOG_DATA_DIRR', nearest: 'DENDROLOG_DATA_DIR' }],
  })
})

test('a bad setting ends serve with one line and status 2, with a stack only for debugging', async () => {
  const { status, stderr } = await run(['serve'], { PORT: 'http' })
  expect({ status, lines: stderr.trimEnd().split('\n').length }).toEqual({ status: 2, lines: 1 })
  expect(stderr).toMatch(/^dendrolog serve: PORT: want an integer of 0 to 65535/)
  const debugged = await run(['serve', '--json'], { PORT: 'http', DENDROLOG_LOG_LEVEL: 'debug' })
  expect(debugged.stderr).toMatch(/^ +at /m)
  expect(JSON.parse(debugged.stdout)).toEqual({ error: expect.stringContaining('PORT') })
})

test('a database that does not answer is named with its setting', async () => {
  const environment = { DENDROLOG_DATA_DIR: join(folder, 'far'), DATABASE_URL: 'postgres://u:secret@127.0.0.1:9/x' }
  for (const command of ['serve', 'init', 'migrate']) {
    const { status, stderr } = await run([command], environment)
    expect(status).toBe(2)
    expect(stderr).toMatch(/DATABASE_URL: no database answers \(.*127\.0\.0\.1:9.*\); start it/)
    expect(stderr).not.toContain('secret')
  }
})

test('migrate applies every migration once; init makes one log, once', async () => {
  const environment = { DENDROLOG_DATA_DIR: dataDir, DENDROLOG_ORIGIN: 'log.example/cli' }
  const first = await run(['migrate'], environment)
  expect(first).toMatchObject({ status: 0, stderr: '' })
  expect(first.stdout).toMatch(/^applied 0001_\w+\.sql$/m)
  expect(JSON.parse((await run(['migrate', '--json'], environment)).stdout)).toEqual({ applied: [] })
  const made = JSON.parse((await run(['init', '--json'], environment)).stdout) as Record<string, unknown>
  expect(made).toMatchObject({ origin: 'log.example/cli', isNew: true, dataDir })
  const again = await run(['init'], environment)
  expect(again.stdout).toContain('the log log.example/cli exists already; nothing was changed')
  expect(again.stdout).toContain(String(made.vkey))
  const renamed = await run(['init'], { ...environment, DENDROLOG_ORIGIN: 'log.example/other' })
  expect(renamed).toMatchObject({ status: 2, stderr: expect.stringContaining('a log never changes its name') })
})

// Of vectors/note/keys.json.
const vkey = 'log.example.com/tlog+810baef7+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4'
const shape = {
  entry: {},
  inclusionProof: { leafIndex: 0, treeSize: 1, hashes: [] },
  leaf: 'jgI=',
  checkpoint: 'x\n',
}

const unknown = {
  ...{ holds: null, origin: null, treeSize: null, root: null, leafIndex: null },
  ...{ leafHash: null, entry: null, isOwnAct: null, consistency: null, cosigned: null, bundle: null },
}

test.each([
  ['no JSON', 'receipt', 'malformed-json'],
  ['a member twice', '{"entry":{},"entry":{}}', 'json-not-strict'],
  ['an answer without proof', '{"entry":{}}', 'malformed-receipt'],
  ['a leaf of a later format', JSON.stringify(shape), 'unknown-leaf-format'],
])('%s could not be checked: status 2', async (_, text, code) => {
  const file = join(folder, 'receipt.json')
  await writeFile(file, text)
  const { status, stdout } = await run(['check', file, '--vkey', vkey, '--json'])
  expect(JSON.parse(stdout)).toEqual({ ...unknown, code, detail: expect.any(String) })
  expect(status).toBe(2)
})

test('a web page is said to be no receipt', async () => {
  const { status, stdout } = await run(['check', '-', '--vkey', vkey], {}, '<!doctype html>')
  expect({ status, stdout }).toEqual({
    status: 2,
    stdout: expect.stringContaining('malformed-json: standard input is no receipt, proof or answer of a server: '),
  })
})

test('a leaf that is none does not hold: status 1', async () => {
  const { status, stdout } = await run(['check', '-', '--vkey', vkey], {}, JSON.stringify({ ...shape, leaf: 'jgE=' }))
  expect({ status, stdout }).toEqual({ status: 1, stdout: expect.stringMatching(/^does NOT hold: malformed-leaf: /) })
})

test('a key that is none, or no file, could not be checked: status 2', async () => {
  const text = JSON.stringify(shape)
  const bad = await run(['check', '-', '--vkey', vkey.replace('810', '811')], {}, text)
  expect(bad).toMatchObject({ status: 2, stderr: '', stdout: expect.stringContaining('vkey: key ID 811baef7') })
  for (const args of [
    [join(folder, 'missing'), '--vkey', vkey],
    ['-', '--vkey-file', join(folder, 'missing')],
  ]) {
    const { status, stdout } = await run(['check', ...args, '--json'], {}, text)
    expect(status).toBe(2)
    expect(JSON.parse(stdout)).toEqual({ ...unknown, code: 'cannot-read', detail: expect.stringContaining('missing') })
  }
})

test('what a server refused is told from a receipt, with what it said: status 2', async () => {
  const problem = { type: 'about:blank', code: 'token-unknown', title: 'Unauthorized', status: 401, detail: 'no token' }
  const { status, stdout } = await run(['check', '-', '--vkey', vkey, '--json'], {}, JSON.stringify(problem))
  expect(status).toBe(2)
  const detail = 'this is no receipt but a refusal: the server answered 401 token-unknown: no token'
  expect(JSON.parse(stdout)).toEqual({ ...unknown, code: 'not-a-receipt', detail })
})

test('a key may come from a file', async () => {
  const file = join(folder, 'vkey')
  await writeFile(file, `${vkey}\n`)
  const { stdout } = await run(['check', '-', '--vkey-file', file], {}, JSON.stringify(shape))
  expect(stdout).toContain('unknown-leaf-format')
})
