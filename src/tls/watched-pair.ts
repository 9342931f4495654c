import { describeError } from '../ops/describe-error.ts'
import type { Logger } from '../ops/logger.ts'
import type { KeyPair, PairFiles } from './key-pair.ts'
import { PairWatch } from './pair-watch.ts'

/** A watch that tells the server's log what it does, and hands each new pair to `onChanged`. */
export function watchPair(
  files: PairFiles,
  pair: KeyPair,
  logger: Logger,
  onChanged: (pair: KeyPair) => void,
): PairWatch {
  return new PairWatch(pair, {
    files,
    onChanged: (renewed) => {
      onChanged(renewed)
      logger.info({ file: files.cert, ...termOf(renewed) }, 'new connections get the new certificate')
    },
    onRefused: (error) => {
      logger.error({ reason: describeError(error).message }, 'the new certificate is not used; the old one stays')
    },
    onExpiring: (expiring) => {
      logger.warn({ file: files.cert, ...termOf(expiring) }, 'the certificate expires within 14 days, or has expired')
    },
    now: Date.now,
  })
}

/** Runs the watch until `signal` aborts; SIGHUP makes it look at once. */
export async function runPairWatch(watch: PairWatch, signal: AbortSignal): Promise<void> {
  const wake = (): void => watch.wake()
  process.on('SIGHUP', wake)
  await watch.run(signal)
  process.off('SIGHUP', wake)
}

function termOf({ certificate }: KeyPair): { readonly subject: string; readonly validTo: string } {
  return { subject: certificate.subject, validTo: certificate.validTo }
}
