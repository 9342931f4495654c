// The thread behind `RangeThreads`.
import { workerData } from 'node:worker_threads'
import { serveCalls } from '../ops/thread-calls.ts'
import type { RangeResult } from './range-check.ts'
import { buffersOf, type RangeSetup } from './range-threads.ts'
import { openRangeWork, type RangeRequest } from './range-work.ts'

const { config, schema } = workerData as RangeSetup

await serveCalls(async () => {
  const work = await openRangeWork(config, schema)
  return {
    answer: (request: RangeRequest) => work.check(request),
    transferOf: (result) => buffersOf((result as RangeResult).buffers),
    close: work.close,
  }
})
