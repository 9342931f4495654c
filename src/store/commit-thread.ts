// The thread behind `openCommitThread`: one connection, one request at a time.
import { workerData } from 'node:worker_threads'
import { serveCalls } from '../ops/thread-calls.ts'
import { type CommitRequest, type CommitSetup, sessionCommitter } from './committer.ts'
import { openSession } from './session.ts'

const { config, schema, idleTimeoutMs } = workerData as CommitSetup

await serveCalls(async () => {
  const committer = sessionCommitter(await openSession(config, idleTimeoutMs), schema)
  return {
    answer: (request: CommitRequest) =>
      request.kind === 'commit' ? committer.commit(request.batch) : committer.ping(),
    transferOf: (buffers) => (buffers ?? []) as readonly ArrayBuffer[],
    close: () => committer.close(),
  }
})
