// What is stored around a finding, as every login that reads evidence may see it.
import type { Schema } from '../batch.ts'
import { lineOf, type Part, saidOf } from './part.ts'

/** Where a finding is. */
export type Place = {
  /** The first and the last entry that it is about. */
  readonly entries: { readonly first: number; readonly last: number } | undefined
  /** The number of a checkpoint that it is about. */
  readonly checkpoint: number | undefined
}

/** Rows before the place, and the newest ones, of a table. */
const nearMax = 500
/** Rows from the place on. */
const fromMax = 2_000
const tilesOfLevelMax = 16
const tileLevels = 8
const listedMax = 1_000

/** The bounds, for people. */
export const evidenceBounds: string =
  `of entries, heads and checkpoints ${nearMax} before the place of the finding, ${fromMax} from there on, ${nearMax} on each side of its end, and the newest ${nearMax}; ` +
  `of each level of the tree ${tilesOfLevelMax} tiles at most; of the rest the newest ${listedMax}`

/** The parts, the most telling first. */
export function evidenceParts(schema: Schema, place: Place): readonly Part[] {
  return [
    ...near(schema, { table: 'audit_logs', by: 'sequence_number', order: 'sequence_number' }, place),
    ...near(schema, { table: 'tree_heads', by: 'tree_size', order: 'tree_size' }, place),
    ...near(schema, { table: 'checkpoints', by: 'tree_size', order: 'number' }, place),
    ...aroundCheckpoint(schema, place),
    ...tilesOf(schema, place),
    ...knownIds(schema, place),
    newest(schema, 'cosignatures', 'checkpoint_number', listedMax),
    newest(schema, 'findings', 'created_at', listedMax),
    newest(schema, 'verifier_progress', 'created_at', listedMax),
  ]
}

type Table = {
  readonly table: string
  /** In which a place in the log is said. */
  readonly by: string
  /** Of the primary key. */
  readonly order: string
}

function near(schema: Schema, { table, by, order }: Table, { entries }: Place): readonly Part[] {
  const last = newest(schema, table, order, nearMax)
  if (entries === undefined) return [last]
  const part = (which: string, what: string, where: string, direction: string, place: number, max: number): Part => ({
    name: `${nameOf(table)}-${which}`,
    what: `rows of ${table} ${what}, ${max} at most`,
    statement: `select ${lineOf('a')}
     from ${schema.evidence}.${table} as a
     ${saidOf('a')}
     where a.${by} ${where} $1
     order by a.${order} ${direction}
     limit ${max}`,
    values: [place],
  })
  const { first, last: end } = entries
  const begin = [
    part('before', `before ${by} ${first}`, '<', 'desc', first, nearMax),
    part('from', `from ${by} ${first} on`, '>=', 'asc', first, fromMax),
  ]
  if (end - first < fromMax - nearMax) return [...begin, last]
  return [
    ...begin,
    part('end', `up to ${by} ${end}`, '<=', 'desc', end, nearMax),
    part('after', `behind ${by} ${end}`, '>', 'asc', end, nearMax),
    last,
  ]
}

function newest({ evidence }: Schema, table: string, order: string, max: number): Part {
  return {
    name: `${nameOf(table)}-newest`,
    what: `the newest rows of ${table}, ${max} at most`,
    statement: `select ${lineOf('a')}
     from ${evidence}.${table} as a
     ${saidOf('a')}
     order by a.${order} desc
     limit ${max}`,
    values: [],
  }
}

function aroundCheckpoint({ evidence }: Schema, { checkpoint }: Place): readonly Part[] {
  if (checkpoint === undefined) return []
  return [
    {
      name: 'checkpoints-around',
      what: `checkpoints with numbers around ${checkpoint}`,
      statement: `select ${lineOf('a')}
       from ${evidence}.checkpoints as a
       ${saidOf('a')}
       where a.number between $1 and $2
       order by a.number`,
      values: [checkpoint - nearMax, checkpoint + nearMax],
    },
  ]
}

/** Of each level the tiles above the entries, and a neighbour on each side. */
function tilesOf({ evidence }: Schema, { entries }: Place): readonly Part[] {
  if (entries === undefined) return []
  const tileAt = (entry: number, level: number): number => Math.floor(Math.max(0, entry - 1) / 256 ** (level + 1))
  const levels = Array.from({ length: tileLevels }, (_, level) => level)
  const from = levels.map((level) => Math.max(0, tileAt(entries.first, level) - 1))
  const to = levels.map((level) => Math.min((from[level] ?? 0) + tilesOfLevelMax - 1, tileAt(entries.last, level) + 1))
  return [
    {
      name: 'tiles',
      what: `tiles of ${tileLevels} levels above the entries of the finding, ${tilesOfLevelMax} of a level at most`,
      statement: `select ${lineOf('a')}
       from unnest($1::smallint[], $2::bigint[], $3::bigint[]) as wanted (level, first, last)
       join ${evidence}.tiles as a on a.level = wanted.level and a.tile_index between wanted.first and wanted.last
       ${saidOf('a')}
       order by a.level, a.tile_index`,
      values: [levels, from, to],
    },
  ]
}

/** The table has no index on sequence numbers. */
function knownIds({ evidence }: Schema, { entries }: Place): readonly Part[] {
  if (entries === undefined) return []
  return [
    {
      name: 'entry-ids',
      what: `known ids of the rows from entry ${entries.first} on, ${fromMax} at most`,
      statement: `select ${lineOf('a')}
       from (
         select event_id
         from ${evidence}.audit_logs
         where sequence_number between $1 and $2
         limit ${fromMax}
       ) as named
       join ${evidence}.entry_ids as a on a.event_id = named.event_id
       ${saidOf('a')}`,
      values: [entries.first - nearMax, entries.last + nearMax],
    },
  ]
}

function nameOf(table: string): string {
  return table.replaceAll('_', '-')
}
