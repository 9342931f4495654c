import type { TokenRole } from '../store/tokens.ts'

/** Who makes a request, proved. A role may do what is its own and nothing else. */
export type Principal = {
  readonly role: TokenRole
  /** As entries record it: `token:NAME`. */
  readonly identity: string
  /** What of its role it may do; absent: all of it. */
  readonly scopes?: readonly string[]
  /** Absent where it has none. */
  readonly rates?: Rates
}

/** What a principal may use of one server. */
export type Rates = {
  /** By which its use is counted. */
  readonly tokenId: string
  /** 0: no limit. */
  readonly requestsPerSecond: number
  /** Records, accepted or not; 0: no limit. */
  readonly entriesPerSecond: number
}
