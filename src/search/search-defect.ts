import { formatHex } from '../../tlog/bytes.ts'
import type { StoredColumns } from '../store/entries.ts'
import { comparedColumns, type SearchRow } from '../store/search-proof.ts'

/** What is wrong with a row of the search tables, or why nothing can be said of it. */
export type SearchDefect = {
  /** The entry's; of `unprovable` the first of up to 256. */
  readonly sequenceNumber: number
  /**
   * The row is not there; is there without an entry, or twice; says something else than the entry. `damaged`: the
   * ledger's own row is gone or not the one in the tree, and proves nothing. `unprovable`: the tiles of the tree are
   * wrong there.
   */
  readonly kind: 'missing' | 'additional' | 'altered' | 'damaged' | 'unprovable'
  /** Columns that differ. Their values are never told: they are what entries say. */
  readonly columns: readonly string[]
}

/** What the ledger holds of a range: entries that are in the signed tree, and the numbers of those that are not. */
export type LedgerEntries = { readonly proved: readonly StoredColumns[]; readonly damaged: readonly number[] }

/** Where rows differ from the entries of the same range, by number. Both in order. */
export function compareRows(entries: LedgerEntries, rows: readonly SearchRow[]): SearchDefect[] {
  const { proved, damaged } = entries
  const byNumber = new Map(rows.map((row) => [row.sequenceNumber, row]))
  const defects: SearchDefect[] = damaged.map((sequenceNumber) => ({ sequenceNumber, kind: 'damaged', columns: [] }))
  for (const entry of proved) defects.push(...compareRow(entry, byNumber.get(entry.fields.sequenceNumber)))
  const known = new Set([...damaged, ...proved.map(({ fields }) => fields.sequenceNumber)])
  for (const { sequenceNumber } of rows) {
    // What is seen a second time is not known any more.
    if (!known.delete(sequenceNumber)) defects.push({ sequenceNumber, kind: 'additional', columns: [] })
  }
  return defects.sort((a, b) => a.sequenceNumber - b.sequenceNumber)
}

function compareRow({ fields, leafHash }: StoredColumns, row: SearchRow | undefined): SearchDefect[] {
  const { sequenceNumber } = fields
  if (row === undefined) return [{ sequenceNumber, kind: 'missing', columns: [] }]
  const want: Readonly<Record<string, string>> = {
    ...{ timestamp: String(fields.timestamp), actor_id: fields.actorId, action: fields.action },
    ...{ resource: fields.resource, client_ip: fields.clientIp, writer: fields.writer, leaf_hash: formatHex(leafHash) },
  }
  const columns = comparedColumns.filter((column) => row.values[column] !== want[column])
  return columns.length === 0 ? [] : [{ sequenceNumber, kind: 'altered', columns }]
}
