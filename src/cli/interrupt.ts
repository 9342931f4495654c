/** Enough to end a request and to say why. */
const stopMsDefault = 2_000

/**
 * A signal that SIGINT and SIGTERM abort. A command that has not ended `stopMs` later dies as if nobody had listened:
 * a thread that waits for the other end of a pipe can be ended in no other way, process.exit() would wait for it too.
 */
export function interruption(stopMs: number = stopMsDefault): AbortSignal {
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      stop.abort()
      if (Number.isFinite(stopMs)) setTimeout(endBy, stopMs, name).unref()
    })
  }
  return stop.signal
}

function endBy(name: NodeJS.Signals): void {
  process.removeAllListeners(name)
  process.kill(process.pid, name)
}
