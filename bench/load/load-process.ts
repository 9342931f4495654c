// Load generators run in processes of their own: neither the server's event loop nor the bench's is in their way.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

/** The parent's side. `program` is a file of this folder; what is sent is structured-cloned, so tokens are in no list. */
export async function runLoad<Setup extends object, Result>(program: string, setup: Setup): Promise<Result> {
  const child = fork(new URL(program, import.meta.url), { serialization: 'advanced' })
  try {
    child.send(setup)
    return await readResult<Result>(child)
  } finally {
    if (child.exitCode === null) {
      const ended = once(child, 'exit')
      child.kill()
      await ended
    }
  }
}

type Message = { readonly result: unknown } | { readonly error: string }

function readResult<Result>(child: ChildProcess): Promise<Result> {
  return new Promise((resolve, reject) => {
    child.once('message', (message: Message) => {
      if ('error' in message) reject(new Error(message.error))
      else resolve(message.result as Result)
    })
    child.once('error', reject)
    child.once('exit', (code, signal) => reject(new Error(`the load generator ended with ${code ?? signal}`)))
  })
}

/** The child's side: waits for its setup, does the work, and says what came of it. */
export async function serveLoad<Setup extends object, Result>(work: (setup: Setup) => Promise<Result>): Promise<void> {
  const [setup] = (await once(process, 'message')) as [Setup]
  const message: Message = await work(setup).then(
    (result) => ({ result }),
    (error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }),
  )
  await new Promise<void>((resolve) => process.send?.(message, () => resolve()))
  process.disconnect()
}
