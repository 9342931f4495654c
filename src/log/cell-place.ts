import { encodeUtf8 } from '../../tlog/bytes.ts'
import { parseCheckpoint } from '../../tlog/checkpoint.ts'
import { parseNote } from '../../tlog/note.ts'
import { type ObjectPlace, openObjectCell } from './object-cell.ts'
import { type OpenedCell, openFileCell } from './signer-cell.ts'
import { openTableCell } from './table-cell.ts'

/** Where the signer's memory is. Plain data: it crosses to the signing thread. */
export type CellPlace =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'table'; readonly url: string }
  | ({ readonly kind: 'object' } & ObjectPlace)

/** Whether several servers can remember there: it compares and writes in one step. */
export function isShared({ kind }: CellPlace): boolean {
  return kind !== 'file'
}

/** Opens the cell of a log; nothing is asked yet. What it reads is of this log, or it throws. */
export function openCell(place: CellPlace, origin: string): OpenedCell {
  const cell = openPlace(place, origin)
  return {
    ...cell,
    read: async () => {
      const checkpoint = await cell.read()
      if (checkpoint !== undefined) checkOrigin(checkpoint.note, origin)
      return checkpoint
    },
  }
}

function openPlace(place: CellPlace, origin: string): OpenedCell {
  switch (place.kind) {
    case 'file':
      return { ...openFileCell(place.path), prepare: async () => {}, close: async () => {} }
    case 'table':
      return openTableCell({ connectionString: place.url }, origin)
    case 'object':
      return openObjectCell(place)
  }
}

/** Before the first signature: an object may be another log's. */
function checkOrigin(note: string, origin: string): void {
  const found = parseCheckpoint(parseNote(encodeUtf8(note)).text).origin
  if (found !== origin) throw new Error(`the signer state is of the log ${found}, want ${origin}`)
}
