import { readRowsAbove } from '../store/audit-reads.ts'
import type { Schema, TreeHead } from '../store/batch.ts'
import { readNewestHeads } from '../store/head-reads.ts'
import type { Readable } from '../store/readable.ts'
import type { Query } from '../store/session.ts'
import { Findings } from './findings.ts'
import { rollbacks } from './outside-check.ts'
import type { Outside } from './reconcile.ts'
import type { SealCheck } from './seal-check.ts'

/** What a verifier knows before it looks. */
export type KnownExtent = {
  readonly outside: Outside
  /** Entries that it has hashed. */
  readonly verified: number
  /** Of the newest head that it believed. */
  readonly size: number
}

/** Of the newest head that may be believed, and what contradicts it at a glance. `query` is one connection's. */
export async function readExtent(
  query: Query,
  schema: Schema,
  isSealed: SealCheck,
  { outside, verified, size: lastSize }: KnownExtent,
): Promise<{ readonly size: number; readonly findings: Findings }> {
  const findings = new Findings()
  for (const finding of outside.findings) findings.addTree(finding)
  await query('begin isolation level repeatable read read only')
  let size = lastSize
  try {
    const [newest] = await readNewestHeads(query, schema, 1)
    const defect = newest && defectOf(newest, isSealed)
    if (defect !== undefined) findings.addTree({ kind: 'FORGED_HEAD', ...defect })
    else size = newest?.kind === 'read' ? newest.value.treeSize : lastSize
    const above = await readRowsAbove(query, schema, size)
    if (above !== undefined) {
      const { first, last, count } = above
      findings.addTree({ kind: 'UNSEALED_ROWS', sequenceNumber: first, lastSequenceNumber: last, count })
    }
  } finally {
    await query('rollback')
  }
  if (verified > size) {
    findings.addTree({ kind: 'ROLLBACK', treeSize: size, knownSize: verified, knownBy: 'the verifier' })
  }
  for (const finding of rollbacks(outside.known, size)) findings.addTree(finding)
  return { size, findings }
}

function defectOf(
  head: Readable<TreeHead>,
  isSealed: SealCheck,
): { readonly treeSize: number; readonly reason: string } | undefined {
  if (head.kind === 'unreadable') return { treeSize: head.at, reason: head.reason }
  if (isSealed?.(head.value) !== false) return undefined
  return { treeSize: head.value.treeSize, reason: 'its seal is not one of the log' }
}
