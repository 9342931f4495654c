// The thread behind `openCommitThread`: one connection, one request at a time.
import { workerData } from 'node:worker_threads'
import { serveCalls } from '../ops/thread-calls.ts'
import { type CommitRequest, type CommitSetup, type Committer, sessionCommitter } from './committer.ts'
import { openSession } from './session.ts'

const { config, schema, idleTimeoutMs } = workerData as CommitSetup

await serveCalls(async () => {
  let committer: Committer | undefined
  return {
    answer: async (request: CommitRequest) => {
      if (request.kind === 'open') committer = sessionCommitter(await openSession(config, idleTimeoutMs), schema)
      else if (committer === undefined) throw new Error('asked before it was opened')
      else if (request.kind === 'commit') return committer.commit(request.batch)
      else await committer.ping()
      return undefined
    },
    transferOf: (buffers) => (buffers ?? []) as readonly ArrayBuffer[],
    close: async () => committer?.close(),
  }
})
