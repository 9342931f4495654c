// Rows of the table of settings, and what a setting's text says. Whatever reads one throws ConfigError, which names it.

/** A setting that cannot be used; names the setting. */
export class ConfigError extends Error {
  readonly setting: string

  constructor(setting: string, reason: string, options?: { cause?: unknown }) {
    super(`${setting}: ${reason}`, options)
    this.name = 'ConfigError'
    this.setting = setting
  }
}

/** A setting as the table of config.ts has it. */
export type Setting = {
  readonly name: string
  readonly default: string
  readonly unit: string
  readonly purpose: string
}

/** Unit of what is never shown. */
export const hiddenUnit: string = 'hidden text'
/** Unit of URLs of which only scheme and host are shown. */
export const hiddenPathUnit: string = 'URL, path hidden'

export function setting(name: string, fallback: string, unit: string, purpose: string): Setting {
  return { name, default: fallback, unit, purpose }
}

/** libpq takes lists like `host=h user=u` too; the driver would take such a text for the name of a database. */
export function readUrl(s: Setting, text: string): string {
  if (/^postgres(ql)?:\/\//.test(text)) return text
  throw new ConfigError(
    s.name,
    'is no URL; want postgres://user:password@host:5432/database, or postgres:///database?host=/folder/of/the/socket',
  )
}

export function readInteger(s: Setting, text: string, min: number, max: number): number {
  const n = Number(text)
  if (!Number.isSafeInteger(n) || String(n) !== text || n < min || n > max) {
    throw new ConfigError(s.name, `want an integer of ${min} to ${max} (${s.unit}), got ${JSON.stringify(text)}`)
  }
  return n
}

export function readLevel(s: Setting, value: string): string {
  if (['debug', 'info', 'warn', 'error', 'silent'].includes(value)) return value
  throw new ConfigError(s.name, `got ${JSON.stringify(value)}, want ${s.purpose}`)
}

export function readBoolean(s: Setting, text: string): boolean {
  if (text !== 'true' && text !== 'false') {
    throw new ConfigError(s.name, `want true or false, got ${JSON.stringify(text)}`)
  }
  return text === 'true'
}

export function readName(s: Setting, text: string, pattern: RegExp): string {
  if (!pattern.test(text)) throw new ConfigError(s.name, `got ${JSON.stringify(text)}, want ${pattern.source}`)
  return text
}

/** A program, or a JSON array of it and its arguments; undefined where the text is empty. */
export function readCommand(s: Setting, text: string): readonly [string, ...string[]] | undefined {
  if (text === '') return undefined
  if (!text.startsWith('[')) return [text]
  const [program, ...args] = parseTexts(text)
  if (program !== undefined && program !== '') return [program, ...args]
  throw new ConfigError(s.name, 'want a program, or a JSON array of it and its arguments, all of them texts')
}

/** Empty where it is no JSON array of texts. */
function parseTexts(json: string): readonly string[] {
  try {
    const list: unknown = JSON.parse(json)
    return Array.isArray(list) && list.every((each) => typeof each === 'string') ? list : []
  } catch {
    return []
  }
}

/** A value as it may be shown. */
export function showSetting({ unit }: Setting, value: string): string {
  if (unit === hiddenUnit) return value === '' ? '' : '***'
  if (unit !== hiddenPathUnit || value === '') return hidePassword(value)
  return URL.canParse(value) && new URL(value).host !== ''
    ? `${new URL(value).protocol}//${new URL(value).host}/***`
    : '***'
}

/** Of `scheme://user:password@host`, of `?password=` and of `password=` in a list of parameters. */
function hidePassword(value: string): string {
  return value
    .replace(/^([a-z]+:\/\/[^:/@]*):.*@/, '$1:***@')
    .replace(/((?:pass|password|sslpassword)\s*=\s*)('[^']*'|[^&\s]*)/gi, '$1***')
}
