import type { VerificationReport } from '../../audit/report.ts'
import { visibleText } from '../command.ts'

const findingsShown = 50

/** A report for people. */
export function describeReport(report: VerificationReport): string {
  const { findings, findingsOmitted, notChecked, totalLogsScanned, treeSize, rootHash, checkpoints, seconds } = report
  const rate = Math.round(totalLogsScanned / Math.max(seconds, 0.001))
  const scanned = `${totalLogsScanned} entries and ${checkpoints} checkpoints in ${seconds.toFixed(1)} s (${rate} entries/s)`
  const isFound = findings.length > 0
  const clean = report.isComplete ? 'nothing found' : 'NOT ALL COULD BE CHECKED; nothing found in the rest'
  const lines = !isFound
    ? [`${clean}: ${scanned}`, `tree size ${treeSize}, root hash ${rootHash}`]
    : [
        `VIOLATION: ${findings.length + findingsOmitted} finding${findings.length + findingsOmitted === 1 ? '' : 's'} in ${scanned}`,
        ...findings.slice(0, findingsShown).map(({ violationType, detail }) => `  ${violationType}  ${detail}`),
        ...moreLines(findings.length - findingsShown + findingsOmitted),
      ]
  return [...lines, ...notChecked.map((what) => `not checked: ${what}`)]
    .map((line) => `${visibleText(line)}\n`)
    .join('')
}

function moreLines(count: number): string[] {
  return count > 0 ? [`  and ${count} more; --json tells up to 20,000`] : []
}
