import type { Metrics } from '../src/ops/metrics.ts'

/** Told of what a handler did not expect, with the id by which the client knows the request. */
export type OnUnexpected = (error: unknown, requestId: string) => void

/** A problem, for whoever looks for a request: nothing in it is a client's but the id, which is checked. */
export type Refusal = {
  readonly requestId: string
  readonly code: string
  readonly status: number
  readonly method: string
  /** The path's pattern, empty where no route has it: paths of clients may have anything in them. */
  readonly route: string
}

/** Those who are told of problems. */
export type ProblemTellers = {
  readonly onUnexpected: OnUnexpected
  readonly onRefused: (refusal: Refusal) => void
  readonly metrics: { readonly problems: Pick<Metrics['problems'], 'inc'> }
}
