import type { Hash } from '../../tlog/hash.ts'

/** The tree that rows make, at the sizes that a check asks for: those of the rows that were read last, in ascending order. */
export type TreeView = {
  /** The compact range of `size` leaves, packed. */
  readonly packed: (size: number) => Uint8Array
  readonly root: (size: number) => Hash
  /** The chain hash of the last of `size` entries, as its row says it. */
  readonly chainHash: (size: number) => Uint8Array
}
