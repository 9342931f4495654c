import type { TreeHead } from '../store/batch.ts'

/** Whether a head's seal holds; undefined where the key is not at hand. */
export type SealCheck = ((head: TreeHead) => boolean) | undefined
