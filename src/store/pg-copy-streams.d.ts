declare module 'pg-copy-streams' {
  import type { Writable } from 'node:stream'
  import type { Submittable } from 'pg'

  export function from(text: string, options?: { highWaterMark?: number }): Writable & Submittable
}
