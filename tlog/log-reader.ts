/** Whoever has hash tiles: database, archive, HTTP client, memory. */
export interface TileReader {
  /**
   * Bytes of a hash tile: exactly 32 * `width`, `width` 1 to 256. Partial tiles exist for published sizes only.
   * The bytes are as stored: whoever builds on them checks them against a root first.
   */
  readTile(level: number, index: number, width: number): Promise<Uint8Array>
}

/** A published log, wherever it is kept. All a proof, a monitor or an auditor needs from outside is behind this. */
export interface LogReader extends TileReader {
  /** Text of the newest checkpoint, a signed note, in UTF-8. Not verified. */
  readCheckpoint(): Promise<Uint8Array>
  /** Bytes of an entry bundle of `width` entries, 1 to 256. Not compared with the tile of leaf hashes. */
  readEntryBundle(index: number, width: number): Promise<Uint8Array>
}
