import { describeFinding } from './describe-finding.ts'
import { type Finding, sequenceNumberOf } from './finding.ts'
import { keyOf } from './finding-key.ts'
import type { Verification } from './verify-ledger.ts'

/** What a run says for programs. The first five members are of the first finding: alert rules key on `violationType`. */
export type VerificationReport = {
  /** Whether nothing was found, and nothing that should have been checked could not be. */
  readonly isSecure: boolean
  readonly totalLogsScanned: number
  readonly tamperedLogSequence: number | null
  readonly violationType: Finding['kind'] | null
  readonly failureDetails: string | null
  readonly findings: readonly FindingReport[]
  /** How many more there were than are told. */
  readonly findingsOmitted: number
  readonly treeSize: number
  readonly rootHash: string
  readonly checkpoints: number
  /** False where something should have been checked and could not be now: `notChecked` says what. */
  readonly isComplete: boolean
  /** What was not checked, and why: no finding is not the same as checked. */
  readonly notChecked: readonly string[]
  readonly seconds: number
}

/** A finding by the name of its violation, with its place, evidence and a sentence. */
export type FindingReport = {
  readonly violationType: Finding['kind']
  readonly detail: string
  /** The same in each run that finds it. */
  readonly key: string
} & Readonly<Record<string, unknown>>

export function reportOf(
  verification: Verification,
  rootHash: string,
  notChecked: readonly string[],
  seconds: number,
): VerificationReport {
  const { findings, omitted, rows, treeSize, checkpoints, missed } = verification
  const [first] = findings
  return {
    isSecure: first === undefined && missed.length === 0,
    totalLogsScanned: rows,
    tamperedLogSequence: (first && sequenceNumberOf(first)) ?? null,
    violationType: first?.kind ?? null,
    failureDetails: first === undefined ? null : describeFinding(first),
    findings: findings.map(findingReport),
    findingsOmitted: omitted,
    ...{ treeSize, rootHash, checkpoints, seconds },
    isComplete: missed.length === 0,
    notChecked: [...missed, ...notChecked, ...verification.notChecked],
  }
}

function findingReport(finding: Finding): FindingReport {
  const { kind, ...evidence } = finding
  return { violationType: kind, detail: describeFinding(finding), key: keyOf(finding), ...evidence }
}
