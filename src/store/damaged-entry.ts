import { TlogError } from '../../tlog/errors.ts'

/**
 * An entry that the ledger does not hold as the log signed it: its row was changed or removed. It stays so, since
 * nothing mends the ledger.
 */
export class DamagedEntry extends TlogError {
  readonly sequenceNumber: number

  constructor(
    sequenceNumber: number,
    what: string,
    code: Extract<TlogError['code'], 'leaf-mismatch' | 'chain-mismatch'> = 'leaf-mismatch',
  ) {
    super(code, `entry ${sequenceNumber}: ${what}`)
    this.name = 'DamagedEntry'
    this.sequenceNumber = sequenceNumber
  }
}

export const isGone = 'it is not in the ledger any more'
export const isNotSigned = 'its leaf hash is not the one in the tree'
