import { parseArgs } from 'node:util'
import { type PartName, partNames } from './measures.ts'

/** How long and how often. */
export type Plan = {
  readonly isQuick: boolean
  readonly parts: readonly PartName[]
  readonly runs: number
  readonly baselineSeconds: number
  /** Rows of a run of the limit, in batches of `batchEntries`. */
  readonly limitBatches: number
  readonly ndjsonEntries: number
  readonly singleSeconds: number
  readonly pacedSeconds: number
  /** Sizes of the log that grows; even multiples of a body. */
  readonly growthSmall: number
  readonly growthLarge: number
  readonly readSeconds: number
  /** How long the verifier is watched on an idle log: whole numbers of its probes, and of the ranges that it hashes again. */
  readonly idleSeconds: number
  /** Before the first run of a server, not counted. */
  readonly warmUpSeconds: number
  /** Where data folders are made and removed. */
  readonly folder: string | undefined
  /** Where CPU profiles of the server go. */
  readonly profileFolder: string | undefined
}

export const usage: string = `npm run bench [-- [--quick] [--only part,...] [--dir folder] [--profile folder]]

  --quick            three minutes: fewer and shorter runs
  --only part,...    of ${partNames.join(', ')}
  --dir folder       where the data folders are made (default: the system's folder for temporary files)
  --profile folder   the servers write CPU profiles there (they are slower then)
`

/** Entries of a commit at most: the server's default. */
export const batchEntries = 8_192

/** Throws on arguments that cannot be used. */
export function readPlan(args: readonly string[]): Plan {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      dir: { type: 'string' },
      profile: { type: 'string' },
    },
  })
  const sizes = values.quick ? quickSizes : fullSizes
  return {
    ...sizes,
    isQuick: values.quick,
    parts: values.only === undefined ? partNames : readParts(values.only),
    folder: values.dir,
    profileFolder: values.profile,
  }
}

/**
 * The file in `bench/` that the table goes to. One shorter run of each part says less than what is kept in the
 * repository, so it goes to another; undefined where parts are missing, which would replace the whole table.
 */
export function resultsFileOf({ isQuick, parts }: Plan): string | undefined {
  if (parts.length < partNames.length) return undefined
  return isQuick ? 'results-quick.md' : 'results.md'
}

const fullSizes = {
  runs: 3,
  baselineSeconds: 5,
  limitBatches: 32,
  ndjsonEntries: 1_000_000,
  singleSeconds: 10,
  pacedSeconds: 15,
  growthSmall: 1_000_000,
  growthLarge: 10_000_000,
  readSeconds: 8,
  idleSeconds: 288,
  warmUpSeconds: 3,
}

const quickSizes = {
  runs: 1,
  baselineSeconds: 2,
  limitBatches: 12,
  ndjsonEntries: 200_000,
  singleSeconds: 4,
  pacedSeconds: 5,
  growthSmall: 200_000,
  growthLarge: 600_000,
  readSeconds: 3,
  idleSeconds: 35,
  warmUpSeconds: 1,
}

function readParts(text: string): PartName[] {
  const wanted = text.split(',')
  const unknown = wanted.filter((name) => !partNames.some((part) => part === name))
  if (unknown.length > 0) throw new Error(`--only: ${unknown.join(', ')} is no part; want ${partNames.join(', ')}`)
  return partNames.filter((part) => wanted.includes(part))
}
