import { tokenJson } from '../../../api/schema-token.ts'
import { formatUuid } from '../../../tlog/uuid.ts'
import { TokenOffice } from '../../auth/token-office.ts'
import type { Config } from '../../config.ts'
import { makeId } from '../../ingest/make-id.ts'
import { schemaNames } from '../../instance.ts'
import type { LogKeys } from '../../log/log-keys.ts'
import { createSignAct } from '../../log/own-act-entry.ts'
import { hashSecret } from '../../log/seal.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import type { Query } from '../../store/session.ts'
import { localIdentity, openLocalKeys, withLocalState } from '../local-state.ts'
import type { ShownToken } from './server.ts'

/**
 * Makes an administrator's token with the data folder and the login that keeps state, asking no server: the way back in
 * when the last administrator's secret is lost. It is told like any other: the act is in the outbox with the token, and
 * becomes an entry within seconds, or, where no server leads, when one does. Throws TokenRefusal as `TokenOffice.make`.
 */
export async function makeLocalToken(
  config: Config,
  name: string,
  signal: AbortSignal,
): Promise<{ readonly token: ShownToken; readonly secret: string }> {
  const keys = await openLocalKeys(config)
  const wanted = { name, role: 'admin', scopes: null, expiresAt: null, ...noRates } as const
  const { token, secret } = await withLocalState(config, signal, (query) =>
    openOffice(config, keys, query).make(wanted, localIdentity()),
  )
  return { token: tokenJson(token), secret }
}

const noRates = { requestsPerSecond: null, entriesPerSecond: null }

/** Nobody need be told of a change: a server that is running has never asked for a token that is new. */
function openOffice(config: Config, { sealKey, signing }: LogKeys, query: Query): TokenOffice {
  return new TokenOffice({
    ...{ query, schema: schemaNames(config), makeId: () => formatUuid(makeId()), onChanged: () => {} },
    hashSecret: (secret) => hashSecret(sealKey, secret),
    signAct: createSignAct({ signer: signing.note, makeId, nowMs: Date.now, hash: nativeSha256 }),
  })
}
