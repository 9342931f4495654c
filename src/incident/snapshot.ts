// The measure that keeps what an investigation needs, before anybody mends anything. Nothing of it stops anything.
import { access, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Command, runOutsideCommand } from '../ops/outside-command.ts'
import { type BaseBackup, manifestName } from '../store/base-backup.ts'
import type { ContainedIncident, Measure } from './containment.ts'
import { backupFolderName, whyNoFurther } from './snapshot/earlier-backups.ts'
import { type ExportOptions, exportEvidence, readSessions } from './snapshot/export.ts'

export type SnapshotOptions = {
  readonly evidence: ExportOptions
  /** Copies the files of the database into a new folder; undefined where they are another machine's. */
  readonly takeBackup: ((folder: string, label: string, signal: AbortSignal) => Promise<BaseBackup>) | undefined
  readonly command: Command | undefined
}

const commandMs = 600_000
const exportFolderName = 'export'

/**
 * Keeps a copy of what is stored around the finding, a base backup where the database's files are at hand, and has a
 * command keep its disks where there is one. Each is done whatever came of the others; rejects where one could not.
 */
export function takeSnapshot(options: SnapshotOptions): Measure {
  const sessionsBefore = new Map<string, Promise<string>>()
  return {
    name: 'snapshot',
    isSlow: true,
    // Other measures end sessions.
    begin: ({ id }, signal) => {
      const reading = readSessions(options.evidence, signal)
      sessionsBefore.set(id, reading)
      return reading
    },
    carryOut: async (incident, folder, signal) => {
      const before = sessionsBefore.get(incident.id)
      sessionsBefore.delete(incident.id)
      const parts = [
        await attempt('export', signal, () => keepExport(options, incident, before, folder, signal)),
        await attempt('base backup', signal, () => keepBackup(options, incident, folder, signal)),
        ...(options.command === undefined
          ? []
          : [await attempt('command', signal, () => runCommand(options, incident, folder, signal))]),
      ]
      const detail = parts.map(({ said }) => said).join('; ')
      if (parts.every(({ isDone }) => isDone)) return detail
      throw new Error(detail)
    },
  }
}

type Attempt = { readonly isDone: boolean; readonly said: string }

async function attempt(name: string, signal: AbortSignal, work: () => Promise<Attempt>): Promise<Attempt> {
  try {
    signal.throwIfAborted()
    return await work()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { isDone: false, said: `${name} failed: ${signal.aborted ? 'the server was stopped' : reason}` }
  }
}

async function keepExport(
  { evidence }: SnapshotOptions,
  incident: ContainedIncident,
  sessionsBefore: Promise<string> | undefined,
  folder: string,
  signal: AbortSignal,
): Promise<Attempt> {
  const path = join(folder, exportFolderName)
  await removeHalf(path)
  const { files, bytes, failures } = await exportEvidence(evidence, incident, sessionsBefore, path, signal)
  const said = `export: ${files} files, ${bytes} bytes, in ${path}`
  if (failures.length === 0) return { isDone: true, said }
  return { isDone: false, said: `${said}; missing in it: ${failures.join(', ')}` }
}

async function keepBackup(
  { takeBackup, command, evidence }: SnapshotOptions,
  { id }: ContainedIncident,
  folder: string,
  signal: AbortSignal,
): Promise<Attempt> {
  if (takeBackup === undefined) {
    const hint = command === undefined ? '; DENDROLOG_SNAPSHOT_COMMAND is for that' : ''
    return { isDone: true, said: `base backup: none, since the database is not the server's own${hint}` }
  }
  const path = join(folder, backupFolderName)
  await removeHalf(path)
  const reason = await whyNoFurther(folder, evidence.nowMs())
  if (reason !== undefined) return { isDone: true, said: `base backup: no further one, since ${reason}` }
  const { files, bytes } = await takeBackup(path, `dendrolog incident ${id}`, signal)
  return { isDone: true, said: `base backup: ${files} files, ${bytes} bytes, in ${path}` }
}

/** What a server left that was killed while it copied. */
async function removeHalf(folder: string): Promise<void> {
  const isWhole = await access(join(folder, manifestName)).then(
    () => true,
    () => false,
  )
  if (!isWhole) await rm(folder, { recursive: true, force: true })
}

async function runCommand(
  { command, evidence: { origin } }: SnapshotOptions,
  { id, finding }: ContainedIncident,
  folder: string,
  signal: AbortSignal,
): Promise<Attempt> {
  if (command === undefined) return { isDone: true, said: '' }
  const input = JSON.stringify({ incident: id, origin, folder: resolve(folder), finding })
  await runOutsideCommand(command, input, commandMs, signal)
  return { isDone: true, said: `command: ${command[0]} is done` }
}
