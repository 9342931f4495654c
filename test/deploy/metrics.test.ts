import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { makeFolder, removeFolder } from '../cli/binary.ts'
import { endAll, startServer } from '../support/server-process.ts'

// Alerts and dashboard against what a real server says. That expressions parse, and when alerts fire, is for promtool
// (.ci/run).

const root = join(import.meta.dirname, '..', '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

type Rule = {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook: string }
}
type Target = { readonly expr: string; readonly refId: string }
type Place = { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
type Panel = { readonly id: number; readonly title: string; readonly gridPos: Place; readonly targets?: Target[] }
type RuleTest = {
  readonly promql_expr_test: readonly { readonly exp_samples: readonly { readonly labels: string }[] }[]
}

const rules = (parse(read('deploy/prometheus/dendrolog-rules.yml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
)
const dashboard = JSON.parse(read('deploy/grafana/dendrolog.json')) as { schemaVersion: number; panels: Panel[] }

let folder: string
let exported: ReadonlySet<string>

beforeAll(async () => {
  folder = await makeFolder()
  const server = await startServer(join(folder, 'data'), { DENDROLOG_PUBLIC_METRICS: 'true' })
  const text = await (await fetch(`${server.url}/metrics`)).text()
  expect(text).toMatch(/^dendrolog_verifier_within_seconds 86400$/m)
  exported = namesIn(text)
  await server.stop()
})
afterAll(async () => {
  await endAll(join(folder, 'data'))
  await removeFolder(folder)
})

/** What an expression may name, of all that is declared, whether or not it has a value now. */
function namesIn(text: string): ReadonlySet<string> {
  const declared = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)]
  return new Set(
    declared.flatMap(([, name = '', type]) =>
      type === 'histogram' ? ['bucket', 'sum', 'count'].map((part) => `${name}_${part}`) : [name],
    ),
  )
}

function unknownIn(expr: string): string[] {
  const names = [...expr.matchAll(/\b(?:dendrolog|process|nodejs)_\w+/g)].map(([name]) => name)
  return names.filter((name) => !exported.has(name))
}

test('every metric that an alert names is exported', () => {
  expect(rules.flatMap(({ expr }) => unknownIn(expr))).toEqual([])
})

test('every metric that the dashboard names is exported', () => {
  const exprs = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
  expect(exprs.length).toBeGreaterThan(30)
  expect(exprs.flatMap(unknownIn)).toEqual([])
  expect(exprs.filter((expr) => !expr.includes('{job="$job"}'))).toEqual([])
})

test('an alert has one name, a severity, words, and a place in a README', () => {
  expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length)
  for (const { alert, labels, annotations } of rules) {
    expect([alert, labels.severity]).toEqual([alert, expect.stringMatching(/^(critical|warning)$/)])
    expect([alert, annotations.summary, annotations.description]).not.toContain(undefined)
    const [file = '', anchor] = annotations.runbook.split('#')
    const headings = [...read(file).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
      heading.toLowerCase().replaceAll(' ', '-'),
    )
    expect([alert, anchor === undefined || headings.includes(anchor)]).toEqual([alert, true])
  }
})

test('of every alert there is a test in which it fires', () => {
  const { tests } = parse(read('deploy/prometheus/dendrolog-rules.test.yml')) as { tests: RuleTest[] }
  const samples = tests.flatMap((each) => each.promql_expr_test.flatMap(({ exp_samples }) => exp_samples))
  const fired = samples.map(({ labels }) => /alertname="(\w+)", severity="(\w+)"/.exec(labels)?.slice(1).join(' '))
  expect([...new Set(fired)].sort()).toEqual(rules.map(({ alert, labels }) => `${alert} ${labels.severity}`).sort())
})

test('the README of deploy names alerts that there are', () => {
  const named = read('deploy/README.md').match(/`Dendrolog\w+`/g) ?? []
  const known = rules.map(({ alert }) => `\`${alert}\``)
  expect(named.filter((name) => !known.includes(name))).toEqual([])
})

test('panels of the dashboard have ids and places of their own', () => {
  const { panels } = dashboard
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
  )
  expect(new Set(cells).size).toBe(cells.length)
  expect(panels.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([])
})

test('units of systemd, cron and Kubernetes run what is there', () => {
  for (const folderName of ['cron', 'systemd', 'kubernetes']) {
    for (const name of readdirSync(join(root, 'deploy', folderName))) {
      const text = read(`deploy/${folderName}/${name}`)
      if (name.endsWith('.yaml')) expect(parse(text)).toMatchObject({ kind: 'CronJob' })
      for (const [, path = ''] of text.matchAll(/\/opt\/dendrolog\/([\w./-]+)/g)) expect(read(path)).not.toBe('')
    }
  }
})
