// The thread behind `openWorkerCommitter`: one connection, one request at a time.
import { parentPort, workerData } from 'node:worker_threads'
import {
  type Committer,
  sessionCommitter,
  type WorkerAnswer,
  type WorkerRequest,
  type WorkerSetup,
} from './committer.ts'
import { openSession } from './session.ts'

const { config, schema, idleTimeoutMs } = workerData as WorkerSetup

function answer(message: WorkerAnswer): void {
  parentPort?.postMessage(message)
}

function run(committer: Committer, request: WorkerRequest): Promise<void> {
  switch (request.kind) {
    case 'commit':
      return committer.commit(request.batch)
    case 'ping':
      return committer.ping()
    case 'close':
      return committer.close()
  }
}

try {
  const committer = sessionCommitter(await openSession(config, idleTimeoutMs), schema)
  parentPort?.on('message', (request: WorkerRequest) => {
    run(committer, request).then(
      () => answer({ id: request.id }),
      (error: unknown) => answer({ id: request.id, error: describe(error) }),
    )
  })
  answer({ id: 0 })
} catch (error) {
  answer({ id: 0, error: describe(error) })
}

/** Errors lose their class on the way to the other thread; what counts is the text, with the SQLSTATE where it has one. */
function describe(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string }
  return `${code === undefined ? '' : `${code}: `}${message ?? String(error)}`
}
