// What containment did, in files beside what it kept: DATA/forensics/INCIDENT-ID/. The database may be the attacker's.
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readSecretFile, writeSecretFile } from '../store/secret-file.ts'

/** One measure, carried out or not. */
export type Contained = {
  readonly measure: string
  readonly isDone: boolean
  /** For people: what it did, or why it could not. */
  readonly detail: string
  /** RFC 3339. */
  readonly at: string
}

/** The folder of all that is kept of incidents. */
export function forensicsFolder(dataDir: string): string {
  return join(dataDir, 'forensics')
}

/** The folder of one incident, which need not be there. `id` is UUID text. */
export function incidentFolder(dataDir: string, id: string): string {
  return join(forensicsFolder(dataDir), id)
}

/** Makes it where it is missing; only its owner may look into it. */
export async function makeIncidentFolder(dataDir: string, id: string): Promise<string> {
  const folder = incidentFolder(dataDir, id)
  for (const each of [forensicsFolder(dataDir), folder]) await mkdir(each, { mode: 0o700, recursive: true })
  return folder
}

/** Undefined where this folder's server has not begun with it. Throws where the file is not what was written. */
export async function readContained(dataDir: string, id: string): Promise<readonly Contained[] | undefined> {
  const path = recordPath(incidentFolder(dataDir, id))
  const text = await readSecretFile(path)
  if (text === undefined) return undefined
  const value: unknown = JSON.parse(text)
  if (Array.isArray(value) && value.every(isContained)) return value
  throw new Error(`${path}: is not what dendrolog wrote`)
}

/** Durable when this resolves. */
export function writeContained(folder: string, done: readonly Contained[]): Promise<void> {
  return writeSecretFile(recordPath(folder), `${JSON.stringify(done, null, 2)}\n`)
}

function recordPath(folder: string): string {
  return join(folder, 'containment.json')
}

function isContained(value: unknown): value is Contained {
  if (typeof value !== 'object' || value === null) return false
  const { measure, isDone, detail, at } = value as Readonly<Record<string, unknown>>
  return [measure, detail, at].every((text) => typeof text === 'string') && typeof isDone === 'boolean'
}

/** Of all incidents, by their ids. Throws where a file is not what was written. */
export async function readAllContained(dataDir: string): Promise<readonly Contained[]> {
  const ids = await readdir(forensicsFolder(dataDir)).catch((): string[] => [])
  const all: Contained[] = []
  for (const id of ids.sort()) all.push(...((await readContained(dataDir, id)) ?? []))
  return all
}
