import type { ClientConfig } from 'pg'
import {
  createCellTable,
  insertCellRow,
  readCellRow,
  readDatabaseIdentity,
  replaceCellRow,
} from '../store/cell-table.ts'
import { readUnsafeSettings } from '../store/durability.ts'
import { openPool, type Query } from '../store/session.ts'
import { encodeCell, encodeEnded, movedCell, type OpenedCell, readCell } from './signer-cell.ts'

/** A head that is unsigned for 10 s stops the log: no answer by then is none. */
const statementMs = 10_000

const place = "the signer state's database"

/** A cell in a row of a second database: for several servers. */
export function openTableCell(config: ClientConfig, origin: string): OpenedCell {
  const { query, close } = openPool(config, 1, statementMs)
  // What was read or written last; undefined where nothing was read yet, or what was written is not known.
  let known: { readonly text: string | undefined } | undefined
  const replace = async (text: string): Promise<void> => {
    const before = known
    known = undefined
    if (before === undefined) throw new Error(`${place}: written without being read`)
    const isWritten =
      before.text === undefined
        ? await insertCellRow(query, origin, text)
        : await replaceCellRow(query, origin, before.text, text)
    if (!isWritten) throw movedCell()
    known = { text }
  }
  return {
    prepare: () => createCellTable(query),
    read: async () => {
      const text = await readCellRow(query, origin)
      known = { text }
      return text === undefined ? undefined : readCell(place, text)
    },
    write: (checkpoint) => replace(encodeCell(checkpoint)),
    end: (ending) => replace(encodeEnded(ending)),
    close,
  }
}

export type TableCellFacts = {
  /** Whether it is the database of the log itself. */
  readonly isOfLog: boolean
  /** Settings with which a power cut loses what was written. */
  readonly unsafe: readonly string[]
}

/** What makes a database unfit for the cell of the log that `log` is a login of. */
export async function readTableCellFacts(config: ClientConfig, log: Query): Promise<TableCellFacts> {
  const { query, close } = openPool(config, 1, statementMs)
  try {
    const isOfLog = (await readDatabaseIdentity(query)) === (await readDatabaseIdentity(log))
    return { isOfLog, unsafe: await readUnsafeSettings(query) }
  } finally {
    await close()
  }
}
