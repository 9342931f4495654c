import { UsageError } from './command.ts'

const unitsMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 }

/** Milliseconds of `30s`, `10m` or `6h`; UsageError that names the option of anything else. */
export function readDuration(option: string, text: string): number {
  const [, digits = '', unit = ''] = /^([1-9]\d{0,5})([smh])$/.exec(text) ?? []
  const unitMs = unitsMs[unit]
  if (unitMs === undefined) throw new UsageError(`${option}: want a time like 30s, 10m or 6h`)
  return Number(digits) * unitMs
}
