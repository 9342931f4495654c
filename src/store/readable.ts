import type { Row } from './row.ts'

/** A row that says what we can read, or why it does not; `at` is its number or size, rounded above 2^53. */
export type Readable<T> =
  | { readonly kind: 'read'; readonly value: T }
  | { readonly kind: 'unreadable'; readonly at: number; readonly reason: string }

export function readable<T>(row: Row, key: string, read: (row: Row) => T): Readable<T> {
  try {
    return { kind: 'read', value: read(row) }
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error
    return { kind: 'unreadable', at: Number(row[key]), reason: error.message }
  }
}
