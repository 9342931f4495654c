import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { noCounts, readState, writeState } from '../../src/cli/append/state.ts'
import { parseArguments, UsageError } from '../../src/cli/command.ts'
import { readServerUrl } from '../../src/cli/server-fetch.ts'
import { readTokenFile } from '../../src/cli/token-file.ts'
import { readLogFile } from '../../src/log/log-file.ts'
import { encodeCell, readCell } from '../../src/log/signer-cell.ts'
import type { StoredCheckpoint } from '../../src/store/checkpoints.ts'
import { loadOrCreateRoles } from '../../src/store/roles.ts'
import {
  readBoolean,
  readBytes,
  readBytesOrNull,
  readHash,
  readInteger,
  readIntegerOrNull,
  readText,
  readTextOrNull,
} from '../../src/store/row.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { hashBytes } from '../../tlog/hash.ts'
import { fuzzing, nearly } from './mutation.ts'

// What is read back from disk and from the driver, and what stands behind the name of a command.

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dendrolog-fuzz-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })
const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 })

const cells = fc
  .record({
    ...{ number: fc.maxSafeNat(), treeSize: fc.maxSafeNat(), timestampMs: fc.maxSafeNat() },
    ...{ root: hash, note: text, sthSignature: fc.uint8Array({ maxLength: 80 }) },
    coseSignature: fc.option(fc.uint8Array({ minLength: 64, maxLength: 64 })),
  })
  .map((checkpoint) => encodeUtf8(encodeCell(checkpoint as StoredCheckpoint)))

test('a signer cell is the one checkpoint that its text says, or refused by its place', () => {
  fc.assert(
    fc.property(nearly(cells), (bytes) => {
      const read = refusedBy(/^signer state x: not what a signer wrote$/, () => readCell('signer state x', utf8(bytes)))
      if (read === undefined) return
      expect(readCell('again', encodeCell(read))).toEqual(read)
      expect([read.number, read.treeSize, read.timestampMs].every((n) => Number.isSafeInteger(n) && n >= 0)).toBe(true)
    }),
    fuzzing,
  )
})

const logFiles = fc
  .record({ origin: text, state: fc.constantFrom('creating', 'ready') })
  .map((file) => encodeUtf8(JSON.stringify(file, null, 2)))

test('a log file names a log and its state, or is refused', async () => {
  await fc.assert(
    fc.asyncProperty(nearly(logFiles), async (bytes) => {
      await writeFile(join(folder, 'log.json'), bytes, { mode: 0o600 })
      const read = await readLogFile(folder).catch(refusal(/is not what dendrolog wrote/))
      if (read === undefined) return
      expect([typeof read.origin, ['creating', 'ready'].includes(read.state)]).toEqual(['string', true])
    }),
    fuzzing,
  )
})

test('a state of append is what was written, or refused by its name', async () => {
  const file = join(folder, 'state')
  const run = { secret: new Uint8Array(16).fill(7), startedMs: 1_700_000_000_000 }
  const refused = [{ line: 3, code: 'malformed-json', detail: 'it is none', pointer: '/payload' }]
  const counts = { ...noCounts, accepted: 40, firstIndex: 3, lastIndex: 42 }
  await writeState(file, { origin: 'o', run, place: { offset: 7, line: 8 }, sent: 'ab', counts, refused })
  const written = new Uint8Array(await readFile(file))
  await fc.assert(
    fc.asyncProperty(nearly(fc.constant(written)), async (bytes) => {
      await writeFile(file, bytes)
      const read = await readState(file).catch(refusal(/is not what append wrote/))
      if (read === undefined) return
      expect(read.run.secret).toHaveLength(16)
      await writeState(file, read)
      expect(await readState(file)).toEqual(read)
    }),
    fuzzing,
  )
})

const secrets = fc.uint8Array({ minLength: 24, maxLength: 24 }).map((bytes) => Buffer.from(bytes).toString('base64url'))

test('passwords and tokens are read or refused, and never part of what is said of their file', async () => {
  const [roles, tokens] = [join(folder, 'roles.json'), join(folder, 'tokens.json')]
  await fc.assert(
    fc.asyncProperty(
      secrets.chain((secret) => fc.tuple(fc.constant(secret), nearly(fileOf(secret)))),
      async (made) => {
        const [secret, bytes] = made
        await writeFile(roles, bytes, { mode: 0o600 })
        await writeFile(tokens, bytes, { mode: 0o600 })
        const said = await Promise.all([
          loadOrCreateRoles(roles).then(() => '', String),
          readTokenFile(tokens, 'admin').then(() => '', String),
        ])
        for (let at = 0; at + 6 <= secret.length; at++) expect(said.join()).not.toContain(secret.slice(at, at + 6))
      },
    ),
    fuzzing,
  )
})

function fileOf(secret: string): fc.Arbitrary<Uint8Array> {
  return fc.constant(encodeUtf8(JSON.stringify({ app_writer_role: secret, admin: secret }, null, 2)))
}

const values = fc.oneof(
  fc.anything({ withBigInt: true, withDate: true, withNullPrototype: true, withTypedArray: true }),
  fc.oneof(fc.maxSafeInteger(), fc.bigInt()).map(String),
  hash.map((bytes) => Buffer.from(bytes)),
)
const isInteger = (n: unknown): boolean => Number.isSafeInteger(n)
const isText = (value: unknown): boolean => typeof value === 'string'
const isBytes = (value: unknown): boolean => value instanceof Uint8Array
const orNull =
  (is: (value: unknown) => boolean) =>
  (value: unknown): boolean =>
    value === null || is(value)

test.each([
  ['readInteger', readInteger, isInteger],
  ['readIntegerOrNull', readIntegerOrNull, orNull(isInteger)],
  ['readText', readText, isText],
  ['readTextOrNull', readTextOrNull, orNull(isText)],
  ['readBytes', readBytes, isBytes],
  ['readBytesOrNull', readBytesOrNull, orNull(isBytes)],
  ['readHash', readHash, (value: unknown): boolean => value instanceof Uint8Array && value.length === hashBytes],
  ['readBoolean', readBoolean, (value: unknown): boolean => typeof value === 'boolean'],
])('%s gives what its column has, or refuses it', (_, readValue, is) => {
  fc.assert(
    fc.property(values, (value) => {
      const read = thrown(() => readValue({ column: value }, 'column'), [RangeError, TypeError])
      if (read === undefined) return
      expect(is(read.value), String(read.value)).toBe(true)
      if (typeof read.value === 'number') expect(String(read.value)).toBe(String(value))
      else expect(read.value).toBe(value)
    }),
    fuzzing,
  )
})

const options = {
  role: { type: 'string' },
  scope: { type: 'string', multiple: true },
  all: { type: 'boolean' },
  json: { type: 'boolean', default: false },
} as const
const known = '--role --role= --role=x --scope --all --all=no --no-all --json -- - -x'
const odd = '--__proto__ --__proto__=x --constructor --toString=x --- --= -rx --rol'
const words = fc.oneof(fc.constantFrom(...`${known} ${odd}`.split(' ')), fc.string({ unit: 'binary', maxLength: 12 }))

test('arguments are options that the command has and words it takes, or bad use', () => {
  fc.assert(
    fc.property(fc.array(words, { maxLength: 6 }), (args) => {
      const parsed = thrown(() => parseArguments(args, options, 2), [UsageError])
      if (parsed === undefined) return
      const { values: given, positionals } = parsed.value
      expect(positionals.length).toBeLessThanOrEqual(2)
      for (const word of positionals) expect(args).toContain(word)
      for (const name of Object.keys(given)) expect(Object.keys(options)).toContain(name)
      expect([typeof (given.role ?? ''), typeof given.json, Array.isArray(given.scope ?? [])]).toEqual([
        ...['string', 'boolean', true],
      ])
    }),
    fuzzing,
  )
})

test('a server is named by an http URL whose path ends in a slash, or that is bad use', () => {
  fc.assert(
    fc.property(nearly(fc.webUrl({ withQueryParameters: true }).map(encodeUtf8)), (bytes) => {
      const url = thrown(() => readServerUrl(utf8(bytes)), [UsageError])?.value
      if (url !== undefined) expect(`${url.protocol}${url.pathname}`).toMatch(/^https?:\/(.*\/)?$/)
    }),
    fuzzing,
  )
})

function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8')
}

/** Undefined where it throws one of these; any other error is a bug. */
function thrown<T>(
  run: () => T,
  kinds: readonly (new (...args: never[]) => Error)[],
): { readonly value: T } | undefined {
  try {
    return { value: run() }
  } catch (error) {
    if (kinds.some((kind) => error instanceof kind)) return undefined
    throw error
  }
}

function refusedBy<T>(message: RegExp, run: () => T): T | undefined {
  try {
    return run()
  } catch (error) {
    return refusal(message)(error)
  }
}

/** Undefined where the error says this; any other is a bug. */
function refusal(message: RegExp): (error: unknown) => undefined {
  return (error) => {
    if (error instanceof Error && message.test(error.message)) return undefined
    throw error
  }
}
