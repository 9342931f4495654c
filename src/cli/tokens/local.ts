import { userInfo } from 'node:os'
import { resolve } from 'node:path'
import { tokenJson } from '../../../api/schema-token.ts'
import { formatUuid } from '../../../tlog/uuid.ts'
import { TokenOffice } from '../../auth/token-office.ts'
import { type Config, ConfigError } from '../../config.ts'
import { makeId } from '../../ingest/make-id.ts'
import { expectedLogin, keysFolderOf, schemaNames, withPool } from '../../instance.ts'
import { readLogFile } from '../../log/log-file.ts'
import { type LogKeys, openKeys } from '../../log/log-keys.ts'
import { createSignAct } from '../../log/own-act-entry.ts'
import { hashSecret } from '../../log/seal.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { readLoginProblem } from '../../store/logins.ts'
import type { Query } from '../../store/session.ts'
import { withLocalLogin } from '../local-login.ts'
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
  const log = await readLogFile(config.dataDir)
  if (log?.state !== 'ready') {
    throw new ConfigError('DENDROLOG_DATA_DIR', `${resolve(config.dataDir)} holds no log; set the folder of a server`)
  }
  const keys = await openKeys(keysFolderOf(config), log.origin)
  const wanted = { name, role: 'admin', scopes: null, expiresAt: null, ...noRates } as const
  const { token, secret } = await withState(config, signal, (query) =>
    openOffice(config, keys, query).make(wanted, `local:${readUserName()}`),
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

function withState<T>(config: Config, signal: AbortSignal, work: (query: Query) => Promise<T>): Promise<T> {
  return withLocalLogin(config, 'state', signal, (login) =>
    withPool(login, async (query) => {
      const problem = await readLoginProblem(query, expectedLogin(config, 'state'))
      if (problem !== undefined) throw new ConfigError('DENDROLOG_STATE_URL', problem)
      return work(query)
    }),
  )
}

/** Of whoever runs this, for those who read later who made the token. Users of containers may have no name. */
function readUserName(): string {
  try {
    return userInfo().username
  } catch {
    return `uid-${process.getuid?.() ?? 'unknown'}`
  }
}
