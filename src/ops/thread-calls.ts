import { once } from 'node:events'
import { parentPort, Worker } from 'node:worker_threads'
import { describeError, type ErrorDescription } from './describe-error.ts'
import { settleWithin } from './time-out.ts'

// Requests to a thread and their answers. An error crosses as what of it may be logged: on the other side nobody could
// tell any more whether its text quotes a record.

type Request = { readonly id: number; readonly request: unknown }
type Answer = { readonly id: number; readonly result?: unknown; readonly error?: ErrorDescription }

/** What a request to a thread failed with there. */
export class ThreadError extends Error {
  /** Name and code of the error in the other thread; of a PostgreSQL error the SQLSTATE. */
  readonly original: string
  readonly code: string | undefined

  constructor({ type, message, code, stack, cause }: ErrorDescription) {
    super(message, cause === undefined ? {} : { cause: new ThreadError(cause) })
    this.name = 'ThreadError'
    this.original = type
    this.code = code
    if (stack !== undefined) this.stack = `${message}\n${indented(stack)}`
  }
}

export type ThreadOptions = {
  readonly file: URL
  /** Given to the thread once, by structured clone. */
  readonly setup: unknown
  /** Heap of the thread, MiB. */
  readonly heapMax: number
  /** For messages: "the committing thread has ended". */
  readonly name: string
}

/** A connection that hangs is cut off after this time. */
const closeTimeoutMs = 2_000
const closeRequest = { kind: 'close' }

/** A thread that answers requests. Every request is answered: when the thread ends, by its end. */
export class Thread {
  readonly #worker: Worker
  readonly #calls = new Map<number, { resolve: (result: unknown) => void; reject: (reason: Error) => void }>()
  #lastId = 0
  #dead: Error | undefined

  private constructor(worker: Worker, name: string) {
    this.#worker = worker
    worker.on('error', (error) => this.#fail(error))
    worker.on('exit', () => this.#fail(new Error(`the ${name} thread has ended`)))
    worker.on('message', (answer: Answer) => this.#settle(answer))
  }

  /** Starts a thread that runs `serveCalls`. Rejects with ThreadError where it could not open what it needs. */
  static async open({ file, setup, heapMax, name }: ThreadOptions): Promise<Thread> {
    const worker = new Worker(file, { workerData: setup, resourceLimits: { maxOldGenerationSizeMb: heapMax } })
    const [{ error }] = (await once(worker, 'message')) as [Answer]
    if (error === undefined) return new Thread(worker, name)
    await worker.terminate()
    throw new ThreadError(error)
  }

  /** Rejects with ThreadError where the request failed, with another error where the thread did. */
  ask(request: unknown, transfer: readonly ArrayBuffer[] = []): Promise<unknown> {
    return new Promise((resolve, reject) => {
      // A message to a thread that has ended goes nowhere, and nobody answers.
      if (this.#dead !== undefined) return reject(this.#dead)
      const id = ++this.#lastId
      this.#calls.set(id, { resolve, reject })
      this.#worker.postMessage({ id, request } satisfies Request, [...transfer])
    })
  }

  /** Lets the thread close what it opened, for a while, and ends it. */
  async close(): Promise<void> {
    await settleWithin(closeTimeoutMs, 'close', this.ask(closeRequest)).catch(() => {})
    await this.#worker.terminate()
  }

  #settle({ id, result, error }: Answer): void {
    const call = this.#calls.get(id)
    this.#calls.delete(id)
    if (error === undefined) call?.resolve(result)
    else call?.reject(new ThreadError(error))
  }

  #fail(reason: Error): void {
    this.#dead ??= reason
    for (const call of this.#calls.values()) call.reject(reason)
    this.#calls.clear()
  }
}

/** A thread that is started before it is needed: that takes some hundred milliseconds, and more where all is busy. */
export class SpareThread {
  readonly #options: ThreadOptions
  #spare: Promise<Thread> | undefined

  constructor(options: ThreadOptions) {
    this.#options = options
  }

  /** Starts it, where there is none yet. What fails then is met by who takes it. */
  prepare(): void {
    this.#spare ??= Thread.open(this.#options)
    this.#spare.catch(() => {})
  }

  /** The thread, started now where it was not before. It is the caller's to close. */
  take(): Promise<Thread> {
    const thread = this.#spare ?? Thread.open(this.#options)
    this.#spare = undefined
    return thread
  }

  async close(): Promise<void> {
    const thread = await this.#spare?.catch(() => undefined)
    this.#spare = undefined
    await thread?.close()
  }
}

/** The thread's own side. */
export type ThreadService<R> = {
  readonly answer: (request: R) => Promise<unknown>
  /** What of an answer is handed over instead of copied. */
  readonly transferOf?: (result: unknown) => readonly ArrayBuffer[]
  readonly close: () => Promise<void>
}

/** Runs in the thread: opens the service, says so, and answers what is asked. */
export async function serveCalls<R>(open: () => Promise<ThreadService<R>>): Promise<void> {
  const post = (answer: Answer, transfer: readonly ArrayBuffer[] = []): void =>
    parentPort?.postMessage(answer, [...transfer])
  try {
    const service = await open()
    parentPort?.on('message', ({ id, request }: Request) => {
      const isClose = (request as { kind?: unknown }).kind === closeRequest.kind
      const work = isClose ? service.close() : service.answer(request as R)
      work.then(
        (result: unknown) => post({ id, result }, isClose ? [] : service.transferOf?.(result)),
        (error: unknown) => post({ id, error: describeError(error) }),
      )
    })
    post({ id: 0 })
  } catch (error) {
    post({ id: 0, error: describeError(error) })
  }
}

/** Frames as an error of this thread has them. */
function indented(stack: string): string {
  return stack.replaceAll(/^/gm, '    ')
}
