// What a server does about an incident on its own. Nothing, unless it is set.
import { ConfigError, readCommand, type Setting, setting } from './setting-values.ts'

/** In the order in which they are carried out: what ends harm first, what takes long last. */
export const containmentMeasures = [
  'stop-publishing',
  'lock-writer',
  'revoke-writers',
  'pin-checkpoint',
  'snapshot',
] as const

export type ContainmentMeasure = (typeof containmentMeasures)[number]

export type ContainmentSettings = {
  /** Each once, in the order of `containmentMeasures`. */
  readonly measures: readonly ContainmentMeasure[]
  /** Program and arguments that take a snapshot of the database's disks; only with measure `snapshot`. */
  readonly snapshotCommand: readonly [string, ...string[]] | undefined
}

type Name = 'containment' | 'snapshotCommand'

/** Their rows in the table of settings. */
export const containmentSettings: Readonly<Record<Name, Setting>> = {
  containment: setting(
    'DENDROLOG_CONTAINMENT',
    '',
    'list',
    `what is done when a violation is found, separated by commas: ${containmentMeasures.join(', ')}; empty: nothing`,
  ),
  snapshotCommand: setting(
    'DENDROLOG_SNAPSHOT_COMMAND',
    '',
    'file or JSON',
    'run by measure snapshot, without a shell, to keep the disks of the database: a program, or a JSON array of it and its arguments',
  ),
}

/** `text` gives a setting's value. Throws ConfigError. */
export function readContainment(text: (s: Setting) => string): ContainmentSettings {
  const { snapshotCommand } = containmentSettings
  const measures = readMeasures(text(containmentSettings.containment))
  const command = readCommand(snapshotCommand, text(snapshotCommand))
  if (command === undefined || measures.includes('snapshot')) return { measures, snapshotCommand: command }
  throw new ConfigError(
    snapshotCommand.name,
    `would never be run: ${containmentSettings.containment.name} does not name the measure snapshot`,
  )
}

function readMeasures(list: string): readonly ContainmentMeasure[] {
  const names = list
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  const unknown = names.find((name) => !containmentMeasures.some((each) => each === name))
  if (unknown !== undefined) {
    throw new ConfigError(
      containmentSettings.containment.name,
      `got ${JSON.stringify(unknown)}, want some of ${containmentMeasures.join(', ')}`,
    )
  }
  return containmentMeasures.filter((each) => names.includes(each))
}
