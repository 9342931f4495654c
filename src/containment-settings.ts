// What a server does about an incident on its own. Nothing, unless it is set.
import { ConfigError, type Setting, setting } from './setting-values.ts'

/** In the order in which they are carried out: what ends harm first, what takes long last. */
export const containmentMeasures = ['stop-publishing', 'lock-writer', 'revoke-writers', 'pin-checkpoint'] as const

export type ContainmentMeasure = (typeof containmentMeasures)[number]

export type ContainmentSettings = {
  /** Each once, in the order of `containmentMeasures`. */
  readonly measures: readonly ContainmentMeasure[]
}

type Name = 'containment'

/** Their rows in the table of settings. */
export const containmentSettings: Readonly<Record<Name, Setting>> = {
  containment: setting(
    'DENDROLOG_CONTAINMENT',
    '',
    'list',
    `what is done when a violation is found, separated by commas: ${containmentMeasures.join(', ')}; empty: nothing`,
  ),
}

/** `text` gives a setting's value. Throws ConfigError. */
export function readContainment(text: (s: Setting) => string): ContainmentSettings {
  const { containment } = containmentSettings
  const names = text(containment)
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  const unknown = names.find((name) => !containmentMeasures.some((each) => each === name))
  if (unknown !== undefined) {
    throw new ConfigError(
      containment.name,
      `got ${JSON.stringify(unknown)}, want some of ${containmentMeasures.join(', ')}`,
    )
  }
  return { measures: containmentMeasures.filter((each) => names.includes(each)) }
}
