// What commands that ask no server change state with: the keys of the data folder, and the login that keeps state.
import { userInfo } from 'node:os'
import { resolve } from 'node:path'
import { type Config, ConfigError } from '../config.ts'
import { expectedLogin, keysFolderOf, unlockOf, withPool } from '../instance.ts'
import { readLogFile } from '../log/log-file.ts'
import { type LogKeys, openKeys } from '../log/log-keys.ts'
import { readLoginProblem } from '../store/logins.ts'
import type { Query } from '../store/session.ts'
import { withLocalLogin } from './local-login.ts'

/** Those of the log in the data folder. */
export async function openLocalKeys(config: Config): Promise<LogKeys> {
  const log = await readLogFile(config.dataDir)
  if (log?.state !== 'ready') {
    throw new ConfigError('DENDROLOG_DATA_DIR', `${resolve(config.dataDir)} holds no log; set the folder of a server`)
  }
  return openKeys(keysFolderOf(config), log.origin, unlockOf(config))
}

/** As `withLocalLogin`, of the login that keeps state; one that is another is refused. */
export function withLocalState<T>(config: Config, signal: AbortSignal, work: (query: Query) => Promise<T>): Promise<T> {
  return withLocalLogin(config, 'state', signal, (login) =>
    withPool(login, async (query) => {
      const problem = await readLoginProblem(query, expectedLogin(config, 'state'))
      if (problem !== undefined) throw new ConfigError('DENDROLOG_STATE_URL', problem)
      return work(query)
    }),
  )
}

/** Whoever runs this, for those who read later who did it. Users of containers may have no name. */
export function localIdentity(): string {
  try {
    return `local:${userInfo().username}`
  } catch {
    return `local:uid-${process.getuid?.() ?? 'unknown'}`
  }
}
