import type { Facts } from './machine.ts'
import { combined, isMet, type Measure, measures, type Outcome } from './measures.ts'

export type Report = {
  /** ISO 8601. */
  readonly date: string
  readonly machine: Facts
  readonly settings: Facts
  readonly outcomes: ReadonlyMap<string, Outcome>
}

type Line = readonly [measure: string, measured: string, required: string, verdict: string]

const header: Line = ['measure', 'measured (lowest to highest run)', 'required', '']

const headings: Readonly<Record<Measure['part'], string>> = {
  ratios: 'Ratios of medians',
  ndjson: 'NDJSON over HTTP, durable, published and provable at the end',
  single: 'Single POST, closed loop',
  paced: 'Single POST with receipt, 1,000 requests/s offered, latency from the intended time',
  start: 'Start',
  verifier: 'The verifier of a server',
  witness: 'A witness of 1,000 logs',
  cosigned: 'A log with three witnesses, two of them the quorum',
  evidence: 'Evidence: `dendrolog check`, as a process',
  growth: 'Growth: a small and a large log',
  limit: 'Limit: COPY by one connection',
  baseline: 'Baseline: one serializable transaction an entry',
  hashing: 'Hashing, one core',
}

/** The table for a terminal. */
export function formatTerminal(report: Report): string {
  const sections = sectionsOf(report)
  const widths = widthsOf([header, ...sections.flatMap(({ lines }) => lines)])
  const facts = (list: Facts): string[] => list.map(([name, value]) => `  ${name}: ${value}`)
  return [
    report.date,
    ...facts(report.machine),
    ...facts(report.settings),
    ...sections.flatMap(({ heading, lines }) => ['', heading, ...lines.map((line) => `  ${aligned(line, widths)}`)]),
    '',
  ].join('\n')
}

/** The same as Markdown. */
export function formatMarkdown(report: Report): string {
  const sections = sectionsOf(report)
  const facts = (title: string, list: Facts): string[] => [
    `## ${title}`,
    '',
    ...list.map(([name, value]) => `- ${name}: ${value}`),
    '',
  ]
  return [
    '# Results of `npm run bench`',
    '',
    `${report.date}. What each row means is in [README.md](README.md).`,
    '',
    ...sections.flatMap(({ heading, lines }) => [`## ${heading}`, '', ...markdownTable(lines), '']),
    ...facts('Machine', report.machine),
    ...facts('Settings', report.settings),
  ].join('\n')
}

type Section = { readonly heading: string; readonly lines: readonly Line[] }

function sectionsOf({ outcomes }: Report): Section[] {
  const parts = [...new Set(measures.map(({ part }) => part))]
  return parts.map((part) => ({
    heading: headings[part],
    lines: measures.filter((measure) => measure.part === part).map((measure) => lineOf(measure, outcomes)),
  }))
}

function lineOf(measure: Measure, outcomes: ReadonlyMap<string, Outcome>): Line {
  const outcome = outcomes.get(measure.id) ?? { kind: 'failed', reason: 'its part gave no figure' }
  const { required, unit } = measure
  const requirement = required === undefined ? '' : `${required.kind} ${formatNumber(required.value)} ${unit}`.trim()
  if (outcome.kind !== 'measured') return [measure.title, `not measured: ${outcome.reason}`, requirement, '']
  const got = combined(measure, outcome.values)
  const verdict = required === undefined ? '' : isMet(required, got) ? 'met' : 'NOT met'
  return [measure.title, `${formatNumber(got)} ${unit}`.trimEnd() + formatRuns(outcome.values), requirement, verdict]
}

function formatRuns(values: readonly number[]): string {
  if (values.length < 2) return ' (one run)'
  return ` (${formatNumber(Math.min(...values))} to ${formatNumber(Math.max(...values))})`
}

/** Three digits at least, thousands apart. */
export function formatNumber(n: number): string {
  const digits = Math.abs(n) >= 100 || Number.isInteger(n) ? 0 : Math.abs(n) >= 10 ? 1 : 2
  return n.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

function widthsOf(lines: readonly Line[]): number[] {
  return header.map((_, i) => Math.max(...lines.map((line) => (line[i] as string).length)))
}

function aligned(line: Line, widths: readonly number[]): string {
  return line
    .map((cell, i) => cell.padEnd(widths[i] ?? 0))
    .join('  ')
    .trimEnd()
}

function markdownTable(lines: readonly Line[]): string[] {
  const widths = widthsOf([header, ...lines])
  const format = (line: Line): string => `| ${line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`
  return [format(header), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...lines.map(format)]
}
