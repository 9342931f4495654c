import { hashBytes } from '../../tlog/hash.ts'
import { rangeLeaves, rangeNodesBytes } from './range-nodes.ts'

/** What a range's result is made in, and handed over with it. Used again, it is not left to a collector of garbage. */
export type ResultBuffers = {
  /** 4 MiB. */
  readonly nodes: Uint8Array
  /** 2 MiB. */
  readonly chainHashes: Uint8Array
}

/** What is needed while a range is checked, and not after: 2 MiB each. */
export type Workspace = { readonly leaves: Uint8Array; readonly settled: Uint8Array }

const hashesBytes = hashBytes * rangeLeaves

export function createResultBuffers(): ResultBuffers {
  return { nodes: new Uint8Array(rangeNodesBytes), chainHashes: new Uint8Array(hashesBytes) }
}

export function createWorkspace(): Workspace {
  return { leaves: new Uint8Array(hashesBytes), settled: new Uint8Array(hashesBytes) }
}
