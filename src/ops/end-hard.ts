import type { Logger } from './logger.ts'

/** Longer than what any request waits for; then whoever started the server wants it gone. */
const stopMaxMs = 60_000
/** npm passes an interrupt on that the terminal has sent to the server as well: so close together they are one. */
const sameSignalMs = 1_000

/** Ends the process with status 2 at a second SIGINT or SIGTERM, or after a minute. To be called at the first. */
export function endHardLater(logger: Logger): void {
  const startedAt = performance.now()
  const end = (reason: string): void => {
    logger.error({ reason }, 'ended before everything was answered')
    process.exit(2)
  }
  setTimeout(end, stopMaxMs, `stopping took ${stopMaxMs} ms`).unref()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (performance.now() - startedAt > sameSignalMs) end(`another ${name}`)
    })
  }
}
