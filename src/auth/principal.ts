import type { TokenRole } from '../store/tokens.ts'

/** Who makes a request, proved. A role may do what is its own and nothing else. */
export type Principal = {
  readonly role: TokenRole
  /** As entries record it: `token:NAME`. */
  readonly identity: string
}
