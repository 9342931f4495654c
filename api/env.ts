import type { HttpBindings } from '@hono/node-server'

/** Hono's environment: Node's request is there when a socket is. */
export type Env = {
  Bindings: Partial<HttpBindings>
  Variables: {
    /** Whether the answer lets pages of any origin read it already. */
    isOpen?: boolean
  }
}
