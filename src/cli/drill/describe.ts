import { visibleText } from '../command.ts'
import type { Outcome } from './attack.ts'

const findingWidth = 22
const detailCharactersMax = 160

/** Two lines: what became of it, and what was done. */
export function describeOutcome({ attack, caught, seen }: Outcome): string {
  const { name, as, did, catcher, finding } = attack
  const head = caught === undefined ? 'NOT NOTICED' : finding
  const after = caught === undefined ? '' : `  ${(caught.afterMs / 1_000).toFixed(1)} s`
  const lines = [
    `${head.padEnd(findingWidth)}  ${as} ${name}`,
    `  did        ${shorten(did)}`,
    `  caught by  ${catcher}${after}`,
    ...(seen === undefined ? [] : [`  wanted ${finding}; seen: ${shorten(seen)}`]),
  ]
  return lines.map(visibleText).join('\n')
}

/** An outcome for programs. */
export function outcomeJson({ attack, caught, seen }: Outcome): object {
  const { name, as, did, catcher, finding } = attack
  const afterSeconds = caught === undefined ? null : Math.round(caught.afterMs) / 1_000
  return { name, as, did, catcher, finding, caught: caught !== undefined, afterSeconds, detail: caught?.detail ?? seen }
}

function shorten(text: string): string {
  return text.length > detailCharactersMax ? `${text.slice(0, detailCharactersMax)}\u2026` : text
}
