import { Writable } from 'node:stream'
import { createLogger } from '../../src/ops/logger.ts'

/** What our logger writes of an error. */
export function logged(error: unknown): string {
  let text = ''
  const destination = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk)
      done()
    },
  })
  createLogger('error', destination).error({ err: error }, 'failed')
  return text
}
