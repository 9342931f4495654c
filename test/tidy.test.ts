import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'

// The house rules that a machine can hold: who imports whom, where SQL and the environment are read, how long files are.

const root = join(import.meta.dirname, '..')

type Source = { readonly path: string; readonly text: string; readonly imports: readonly string[] }

const sources = ['tlog', 'src', 'api', 'bench'].flatMap((folder) => readSources(folder))

/** What each place may import; a place is the longest of these names that a path begins with. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  tlog: [],
  'src/ops': [],
  'src/client': ['tlog'],
  'src/store': ['tlog', 'src/ops'],
  'src/auth': ['tlog', 'src/ops', 'src/store', 'src/log'],
  'src/incident': ['tlog', 'src/ops', 'src/store'],
  'src/signing': ['tlog', 'src/ops'],
  'src/log': ['tlog', 'src/ops', 'src/store', 'src/signing'],
  'src/follow.ts': ['src/store'],
  'src/search': ['tlog', 'src/ops', 'src/store', 'src/follow.ts'],
  'src/rules': ['tlog', 'src/store', 'src/follow.ts'],
  'src/tiles': ['tlog', 'src/follow.ts'],
  'src/audit': ['tlog', 'src/ops', 'src/store', 'src/follow.ts'],
  'src/ingest': ['tlog', 'src/ops', 'src/store', 'src/log', 'src/auth'],
  'src/witness': ['tlog', 'src/ops'],
  'src/cosign': ['tlog', 'src/ops', 'src/witness'],
  'src/anchor': ['tlog', 'src/ops', 'src/client'],
  'src/evidence': ['tlog', 'src/ops', 'src/store', 'src/log', 'src/anchor'],
  'src/tls': ['src/ops', 'src/store', 'src/config.ts'],
  'src/config.ts': [
    'src/setting-values.ts',
    'src/hook-settings.ts',
    'src/containment-settings.ts',
    'src/verifier-settings.ts',
    'src/outside-settings.ts',
    'src/signer-settings.ts',
    'src/unknown-settings.ts',
    'src/ops',
  ],
  'src/hook-settings.ts': ['src/setting-values.ts', 'src/ops'],
  'src/containment-settings.ts': ['src/setting-values.ts', 'src/ops'],
  'src/verifier-settings.ts': ['src/setting-values.ts'],
  'src/outside-settings.ts': ['src/setting-values.ts'],
  'src/signer-settings.ts': ['src/setting-values.ts'],
  'src/setting-values.ts': [],
  'src/unknown-settings.ts': [],
  api: [
    'tlog',
    'src/ops',
    'src/store',
    'src/log',
    'src/search',
    'src/ingest',
    'src/auth',
    'src/incident',
    'src/witness',
  ],
}
/** What runs in browsers too has nothing of Node. */
const inBrowsers = ['tlog', 'src/client']
/** These wire everything by hand. */
const mayImportAll = [
  'src/serve.ts',
  'src/serve-log.ts',
  'src/serve-api.ts',
  'src/serve-verifier.ts',
  'src/serve-rules.ts',
  'src/serve-containment.ts',
  'src/serve-witnesses.ts',
  'src/serve-anchors.ts',
  'src/serve-renewals.ts',
  'src/instance.ts',
  'src/new-instance.ts',
  'src/signer-state.ts',
  'src/cli',
  'bench',
]

const packages: Readonly<Record<string, readonly string[]>> = {
  '@noble/hashes': ['tlog'],
  '@noble/post-quantum': ['src/ops'],
  '@aws-sdk/client-s3': ['src/log'],
  pg: ['src/store', 'src/log', 'src/instance.ts', 'src/new-instance.ts', 'src/cli', 'bench'],
  'pg-copy-streams': ['src/store', 'bench'],
  hono: ['api'],
  '@hono/node-server': ['api', 'src/serve.ts'],
  undici: ['src/cli'],
  croner: ['src/cli'],
  uuidv7: ['src/ingest'],
  pino: ['src/ops'],
  '@aws-sdk/client-kms': ['src/signing'],
  'prom-client': ['src/ops'],
  'cbor-x': ['api'],
}

describe('the house', () => {
  it.each(sources.map((source) => [source.path, source] as const))('%s imports what it may', (path, source) => {
    const refused = source.imports.filter((name) => !isAllowed(path, name))
    expect(refused).toEqual([])
  })

  it('has no import cycles', () => {
    expect(findCycle()).toBeUndefined()
  })

  it('reads the environment in src/config.ts only', () => {
    const places = matching(/process\.env/).filter((path) => !path.startsWith('bench/'))
    expect(places).toEqual(['src/config.ts'])
  })

  it('has SQL in src/store only', () => {
    const places = matching(/\b(select\s[\s\S]{0,200}\sfrom|insert into|delete from|update \w+ set|create table)\b/i)
    expect(places.filter((path) => !path.startsWith('src/store/') && !path.startsWith('bench/'))).toEqual([])
  })

  it('has no file above 350 lines', () => {
    expect(sources.filter(({ text }) => text.split('\n').length > 351).map(({ path }) => path)).toEqual([])
  })

  it('has no loose types, default exports, stand-ins or notes to self', () => {
    const smells =
      /\bas any\b|: any\b|<any>|@ts-ignore|@ts-expect-error|^export default|^(export )?enum |\bTODO\b|\bFIXME\b/m
    expect(matching(smells)).toEqual([])
  })

  it('keeps 32-bit operators off sizes and indexes in the tree', () => {
    const files = ['coords', 'compact-range', 'proof', 'verify', 'tile', 'tile-nodes', 'tree-edge', 'subtree']
    const bits = / (>>>?|<<|&|\|) /
    const found = sources.filter(({ path, text }) => files.includes(path.slice(5, -3)) && bits.test(code(text)))
    expect(found.map(({ path }) => path)).toEqual([])
  })
})

/** Source without comments, strings and types, where `&` and `|` mean something else. */
function code(text: string): string {
  return text.replaceAll(
    /\/\*[\s\S]*?\*\/|\/\/.*|'[^']*'|`[^`]*`|^(export )?type [^=]*=[\s\S]*?\n\n|: [^=\n{]*[{=\n)]/gm,
    '',
  )
}

function isAllowed(path: string, name: string): boolean {
  const place = placeOf(path)
  if (name.startsWith('.')) {
    const target = relative(root, join(root, dirname(path), name))
    if (target.startsWith(`${place}/`) || mayImportAll.includes(place)) return true
    return (mayImport[place] ?? []).some((allowed) => target === allowed || target.startsWith(`${allowed}/`))
  }
  if (name.startsWith('node:')) return !inBrowsers.includes(place)
  const owner = name.startsWith('@') ? name.split('/').slice(0, 2).join('/') : (name.split('/')[0] ?? '')
  return (packages[owner] ?? []).includes(place)
}

function placeOf(path: string): string {
  const places = [...Object.keys(mayImport), ...mayImportAll]
  const place = places.find((name) => path === name || path.startsWith(`${name}/`))
  if (place === undefined) throw new Error(`${path}: in no place that the rules know`)
  return place
}

function findCycle(): string[] | undefined {
  const byPath = new Map(sources.map((source) => [source.path, source]))
  const done = new Set<string>()
  const visit = (path: string, trail: readonly string[]): string[] | undefined => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path]
    if (done.has(path)) return undefined
    for (const name of byPath.get(path)?.imports ?? []) {
      if (!name.startsWith('.')) continue
      const cycle = visit(relative(root, join(root, dirname(path), name)), [...trail, path])
      if (cycle !== undefined) return cycle
    }
    done.add(path)
    return undefined
  }
  for (const { path } of sources) {
    const cycle = visit(path, [])
    if (cycle !== undefined) return cycle
  }
  return undefined
}

function matching(pattern: RegExp): string[] {
  return sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path)
}

function readSources(folder: string): Source[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .map((name) => join(folder, name))
    .sort()
    .map((path) => {
      const text = readFileSync(join(root, path), 'utf8')
      // Types alone tie no modules together at run time, but they do tie readers: they count for places.
      const imports = [...text.matchAll(/^(?:import|export)\s[^'"]*?from '([^']+)'|^import '([^']+)'/gm)]
      return { path, text, imports: imports.map(([, from, bare]) => from ?? bare ?? '') }
    })
}
