/** How far a run is, on a terminal. */
export type Progress = {
  readonly show: (checked: number, size: number) => void
  /** Clears the line; more than once does nothing. */
  readonly end: () => void
}

const everyMs = 200

/** On standard error, and only where that is a terminal. */
export function showProgress(isQuiet: boolean): Progress {
  const { stderr } = process
  if (isQuiet || !stderr.isTTY) return { show: () => {}, end: () => {} }
  const startedAt = performance.now()
  let shownAt = Number.NEGATIVE_INFINITY
  return {
    show: (checked, size) => {
      const now = performance.now()
      if (now - shownAt < everyMs) return
      shownAt = now
      const rate = Math.round((checked * 1_000) / (now - startedAt))
      const share = Math.floor((100 * checked) / Math.max(1, size))
      stderr.write(`\r\u001b[K${share} %  ${checked} of ${size} entries  ${rate}/s`)
    },
    end: () => {
      if (shownAt > 0) stderr.write('\r\u001b[K')
      shownAt = Number.NEGATIVE_INFINITY
    },
  }
}
