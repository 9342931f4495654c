import type { LeafDifference, TileMisfit } from '../../../tlog/bisect.ts'
import { formatHex } from '../../../tlog/bytes.ts'
import { type CopyComparison, compareWithCopy, isSame } from '../../audit/compare-copies.ts'
import { readAuditorConfig } from '../../config.ts'
import { schemaNames } from '../../instance.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { openReadSession, type ReadConfig } from '../../store/copy-out.ts'
import { type ExitStatus, exitHolds, exitViolation, printJson, printLine, UsageError } from '../command.ts'
import { withLocalLogin } from '../local-login.ts'
import type { VkeyValues } from '../verifier-key.ts'
import { readKnowledge } from './knowledge.ts'
import { openSecondCopy } from './second-copy.ts'

export type AgainstOptions = {
  /** Folder or URL. */
  readonly where: string
  readonly ca: string | undefined
  readonly vkey: VkeyValues
  readonly isJson: boolean
}

const leavesShown = 50

/** Compares the database of the settings with a second copy of its tiles. */
export async function verifyAgainst(options: AgainstOptions, signal: AbortSignal): Promise<ExitStatus> {
  const { config, readerUrl } = readAuditorConfig()
  const { key } = await readKnowledge(config, options.vkey)
  if (key === undefined) throw new UsageError('--against: want --vkey or --vkey-file where there is no data folder')
  const { copy, close } = await openSecondCopy(options.where, key, options.ca)
  try {
    const startedAt = performance.now()
    const compare = async (login: ReadConfig): Promise<CopyComparison> => {
      const session = await openReadSession(login)
      try {
        return await compareWithCopy(session.query, schemaNames(config), copy, nativeSha256)
      } finally {
        await session.close()
      }
    }
    const comparison =
      readerUrl === undefined
        ? await withLocalLogin(config, 'reader', signal, compare)
        : await compare({ connectionString: readerUrl })
    const seconds = (performance.now() - startedAt) / 1_000
    if (options.isJson) printJson(jsonOf(comparison, seconds))
    else for (const line of describe(comparison, seconds)) printLine(line)
    return isSame(comparison) ? exitHolds : exitViolation
  } finally {
    await close()
  }
}

function jsonOf(comparison: CopyComparison, seconds: number): object {
  const { leaves, misfits, wrongCheckpoint, isCut, ...rest } = comparison
  return {
    isSame: isSame(comparison),
    ...rest,
    differences: leaves.map(({ index, first, second }) => ({
      ...{ sequenceNumber: index + 1, leafIndex: index },
      ...{ database: formatHex(first), copy: formatHex(second) },
    })),
    hasMore: isCut,
    misfits: misfits.map(({ copy, ...place }) => ({ of: nameOf(copy), ...place })),
    firstWrongCheckpoint: wrongCheckpoint ?? null,
    seconds,
  }
}

function describe(comparison: CopyComparison, seconds: number): readonly string[] {
  const { comparedSize, databaseSize, copySize, leaves, misfits, rootless, wrongCheckpoint, tilesRead } = comparison
  const read = `${comparedSize} entries by ${tilesRead} tiles in ${seconds.toFixed(2)} s`
  if (isSame(comparison)) return [`nothing differs: ${read}`]
  const count = comparison.isCut ? `more than ${leaves.length}` : String(leaves.length)
  return [
    `VIOLATION: ${count} of ${read} differ`,
    ...leaves.slice(0, leavesShown).map(describeLeaf),
    ...(leaves.length > leavesShown ? [`  and ${leaves.length - leavesShown} more; --json tells them`] : []),
    ...misfits.map(describeMisfit),
    ...rootless.map((copy) => `  the last tiles of the ${copy} do not make the root of its newest head`),
    ...(databaseSize < copySize ? [`  the database ends at entry ${databaseSize}, the copy at ${copySize}`] : []),
    ...(wrongCheckpoint === undefined
      ? []
      : [
          `  first checkpoint of another tree than the copy: ${wrongCheckpoint.number}, size ${wrongCheckpoint.treeSize}`,
        ]),
  ]
}

function describeLeaf({ index, first, second }: LeafDifference): string {
  return `  entry ${index + 1} (leaf ${index}): ${formatHex(first)} in the database, ${formatHex(second)} in the copy`
}

function describeMisfit({ copy, level, index, problem }: TileMisfit): string {
  const what = problem === 'missing' ? 'is not there' : 'does not fit the tile above it'
  return `  tile ${index} of level ${level} of the ${nameOf(copy)} ${what}: what is below is not compared`
}

function nameOf(copy: TileMisfit['copy']): 'database' | 'copy' {
  return copy === 'first' ? 'database' : 'copy'
}
