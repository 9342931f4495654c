import { type LogNames, type ObjectFacts, readStoredSchema, type StoredSchema } from '../store/schema-facts.ts'
import type { Query } from '../store/session.ts'
import { type ExpectedSchema, partitionEntries, partitionName, type SchemaState, statesOf } from './expected-schema.ts'
import type { TreeFinding } from './finding.ts'

export type SchemaReview = {
  readonly findings: readonly TreeFinding[]
  /** What cannot be checked in this database, and why. */
  readonly notChecked: readonly string[]
  /** Why the schema could not be compared, where it is one that this program does not know. */
  readonly unknown: string | undefined
}

type Difference = { readonly object: string; readonly reasons: readonly string[] }

/** Where one of these differs nothing else has to be said. */
const leading = /^(kind|attachment to .*)$/
/** Of one object. */
const reasonsMax = 8
const textMax = 120

/**
 * Compares what protects the evidence, as the catalog says it, with what migrations make: tables with their columns,
 * constraints, indexes, triggers, rules, policies and rights, functions with their bodies, partitions, the guard, roles
 * and what is set for them. The catalog is a superuser's: who forges that too is found by the hashes only.
 */
export class SchemaCheck {
  readonly #names: LogNames
  readonly #newest: SchemaState
  readonly #earlier: readonly SchemaState[]

  constructor(expected: ExpectedSchema, names: LogNames) {
    const [newest, ...earlier] = statesOf(expected, names)
    if (newest === undefined) throw new Error('the description of the schema is empty')
    this.#names = names
    this.#newest = newest
    this.#earlier = earlier
  }

  /** Rejects where the catalog cannot be read. */
  async review(query: Query): Promise<SchemaReview> {
    const stored = await readStoredSchema(query, this.#names)
    const notChecked = this.#hasNoGuard(stored)
      ? ['the guard against DDL: whoever migrated could not make its event triggers']
      : []
    const differences = this.#differences(this.#newest, stored)
    if (differences.length === 0) return { findings: [], notChecked, unknown: undefined }
    const unknown = this.#reasonNotToCheck(stored)
    if (unknown !== undefined) return { findings: [], notChecked, unknown }
    const findings = differences.map(({ object, reasons }): TreeFinding => {
      const more = reasons.length > reasonsMax ? `; and ${reasons.length - reasonsMax} more` : ''
      return { kind: 'SCHEMA_TAMPERED', object, reason: reasons.slice(0, reasonsMax).join('; ') + more }
    })
    return { findings, notChecked, unknown: undefined }
  }

  /** Another schema than this program's need not be a violation: a migration may have been, or may have yet to be. */
  #reasonNotToCheck(stored: StoredSchema): string | undefined {
    const { migration } = this.#newest
    if (stored.migration !== undefined && stored.migration > migration) {
      return `the schema: it is of migration ${stored.migration}, this program knows ${migration}`
    }
    const same = this.#earlier.find((state) => this.#differences(state, stored).length === 0)
    return same && `the schema: it is the one before migration ${migration}; run dendrolog migrate`
  }

  /** Some managed services give nobody the right to make them. */
  #hasNoGuard({ objects, isGuardBySuperuser }: StoredSchema): boolean {
    return !isGuardBySuperuser && ![...objects.keys()].some((object) => object.startsWith('event trigger '))
  }

  #differences(state: SchemaState, stored: StoredSchema): readonly Difference[] {
    const { schema } = this.#names
    const ledger = `${schema}.audit_logs`
    const differences: Difference[] = []
    const add = (object: string, want: ObjectFacts | undefined): void => {
      const reasons = reasonsOf(stored.objects.get(object), want)
      if (reasons.length > 0) differences.push({ object, reasons })
    }
    const hasNoGuard = this.#hasNoGuard(stored)
    for (const [object, want] of state.objects) {
      if (!hasNoGuard || !object.startsWith('event trigger ')) add(object, want)
    }
    const ofLedger = differences.find(({ object }) => object === ledger)?.reasons ?? []
    if (stored.objects.get(ledger)?.get('kind') === state.objects.get(ledger)?.get('kind')) {
      for (const first of this.#partitions(stored)) {
        const object = this.#partition(first)
        // What is wrong with the ledger is wrong with all its partitions.
        const reasons = reasonsOf(stored.objects.get(object), state.partitionFrom(first))
        const own = reasons.filter((reason) => !ofLedger.includes(reason))
        if (own.length > 0) differences.push({ object, reasons: own })
      }
    }
    for (const [object, facts] of stored.objects) {
      if (state.objects.has(object) || this.#firstOf(object) !== undefined) continue
      if (isOurs(facts, ledger)) add(object, undefined)
    }
    return differences.sort((a, b) => (a.object < b.object ? -1 : 1))
  }

  /** By their first sequence numbers: those that are there, and of each hole before one of them the first. */
  #partitions({ objects }: StoredSchema): readonly number[] {
    const there = [...objects.keys()].flatMap((object) => this.#firstOf(object) ?? []).sort((a, b) => a - b)
    const wanted: number[] = []
    let next = 1
    for (const first of there) {
      if (first !== next) wanted.push(next)
      wanted.push(first)
      next = first + partitionEntries
    }
    return wanted.length === 0 ? [next] : wanted
  }

  #partition(first: number): string {
    return `${this.#names.schema}.${partitionName(first)}`
  }

  /** The first sequence number of a partition by its name; undefined of what is not named as one. */
  #firstOf(object: string): number | undefined {
    const start = `${this.#names.schema}.audit_logs_p`
    const digits = object.slice(start.length)
    if (!object.startsWith(start) || !/^\d{16}$/.test(digits)) return undefined
    const first = Number(digits)
    return Number.isSafeInteger(first) && first % partitionEntries === 1 ? first : undefined
  }
}

const gone = 'is gone'

/** A table beside the others harms nothing; a function may stand in for ours, and a partition holds rows. */
function isOurs(facts: ObjectFacts, ledger: string): boolean {
  return !facts.has('kind') || facts.has(`attachment to ${ledger}`)
}

function reasonsOf(got: ObjectFacts | undefined, want: ObjectFacts | undefined): readonly string[] {
  if (got === undefined) return want === undefined ? [] : [gone]
  if (want === undefined) return [`was not made by a migration${describeAlone(got)}`]
  const reasons = new Map<string, string>()
  for (const [label, value] of want) {
    const found = got.get(label)
    if (found === undefined) reasons.set(label, `${label} is gone`)
    else if (found !== value) reasons.set(label, describeChange(label, found, value))
  }
  for (const [label, value] of got) {
    if (!want.has(label)) reasons.set(label, `${cut(label)} was added: ${cut(value)}`)
  }
  const first = [...reasons.keys()].find((label) => leading.test(label))
  return first === undefined ? [...reasons.values()] : [reasons.get(first) ?? '']
}

function describeChange(label: string, found: string, want: string): string {
  if (want.length > textMax || found.length > textMax) return `${label} was changed`
  return `${label} is ${JSON.stringify(found)}, not ${JSON.stringify(want)}`
}

function describeAlone(facts: ObjectFacts): string {
  const value = facts.get('value')
  return value === undefined ? '' : `: ${cut(value)}`
}

/** A line of it. */
function cut(text: string): string {
  const line = text.slice(0, textMax).replaceAll(/\s+/g, ' ')
  return text.length > textMax ? `${line}…` : line
}
