import type { HttpBindings } from '@hono/node-server'

/** Hono's environment: Node's request is there when a socket is. */
export type Env = { Bindings: Partial<HttpBindings> }
