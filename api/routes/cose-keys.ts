import type { Hono } from 'hono'
import { parseBase64 } from '../../tlog/bytes.ts'
import { formatCoseKeySet } from '../../tlog/cose-key.ts'
import { openToBrowsers } from '../cors.ts'
import type { Env } from '../env.ts'
import { describe, type Operation } from '../operation.ts'
import { readQuery } from '../parameters.ts'
import type { JsonSchema } from '../schema.ts'
import type { Server } from '../server.ts'

const path = '/.well-known/scitt-keys'

/** The key of COSE receipts, where the SCITT Reference API (draft-ietf-scitt-scrapi) has it. */
export function routeCoseKeys(app: Hono<Env>, server: Server): void {
  const encoded = new Uint8Array(formatCoseKeySet(parseBase64(server.identity.sthPublicKey)))
  openToBrowsers(app, path)
  app.get(
    path,
    describe(coseKeys, (c) => {
      readQuery(c, {})
      return c.body(encoded, 200, { 'content-type': keySetType })
    }),
  )
}

const keySetType = 'application/cbor'

const keySet: JsonSchema = { type: 'array', description: 'In CBOR: COSE_Key maps, whose labels are integers' }

const coseKeys: Operation = {
  id: 'readCoseKeys',
  summary: 'The key that COSE receipts are signed with',
  who: 'everybody',
  answers: { 200: { doc: 'A COSE_KeySet (RFC 9052 section 7)', content: { [keySetType]: keySet } } },
}
