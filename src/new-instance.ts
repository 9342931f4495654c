// A log that is made: its keys, its first checkpoint, its tokens, in the order in which a crash leaves what the next start
// finishes.
import type { ClientConfig } from 'pg'
import { createTokenSecret } from './auth/token.ts'
import { makeId } from './ingest/make-id.ts'
import { createLog } from './log/create.ts'
import type { Ending } from './log/ending.ts'
import { writeLogFile } from './log/log-file.ts'
import { createKeys, type KeyPlaces, type LogKeys, openKeys } from './log/log-keys.ts'
import { hashSecret, type SealKey } from './log/seal.ts'
import type { SignerCell } from './log/signer-cell.ts'
import { writeSuccession } from './log/succession.ts'
import { nativeSha256 } from './ops/native-sha256.ts'
import type { Unlock } from './ops/passphrase.ts'
import type { Schema } from './store/batch.ts'
import { readSecretFile, writeSecretFile } from './store/secret-file.ts'
import { openPool, openSession, type Query } from './store/session.ts'
import { insertFirstToken, type TokenRole } from './store/tokens.ts'

/** Tokens that a first start made, role by role. */
export type TokenFile = Readonly<Record<TokenRole, string>>

const tokenRoles: readonly TokenRole[] = ['writer', 'auditor', 'admin']
const idleTimeoutMs = 5_000

type NewInstance = {
  /** Data folder, its keys and their passphrase, and the file of the tokens. */
  readonly folders: {
    readonly dataDir: string
    readonly keys: string
    readonly tokens: string
    readonly unlock: Unlock
    readonly keyPlaces: KeyPlaces
  }
  readonly database: {
    readonly schema: Schema
    readonly connections: { readonly writer: ClientConfig; readonly signer: ClientConfig; readonly state: ClientConfig }
  }
  readonly writer: Query
  readonly origin: string
  readonly cell: SignerCell
  readonly nowMs: number
  /** The end of the log that this one comes after, which its first entry tells of. */
  readonly succeeds: Ending | undefined
}

// Order: what is about to happen is noted first and marked as done last, each step may be repeated. So a crash in
// between is finished by the next start, and a folder without its database is still told from a new one.
export async function createInstance(log: NewInstance): Promise<void> {
  const { folders, database, writer, origin, cell, nowMs, succeeds } = log
  await writeLogFile(folders.dataDir, { origin, state: 'creating', ...(succeeds === undefined ? {} : { succeeds }) })
  await createKeys(folders.keys, origin, folders.unlock, folders.keyPlaces)
  const keys = await openKeys(folders.keys, origin, folders.unlock)
  const { signing, sealKey } = keys
  const { schema } = database
  const signer = openPool(database.connections.signer, 1, 30_000)
  try {
    await createLog({ origin, sealKey, keys: signing, cell, schema, writer, signer: signer.query, nowMs })
  } finally {
    await signer.close()
  }
  if (succeeds !== undefined) await writeFirstEntry(log, keys, succeeds)
  await createTokens(log, sealKey)
  await writeLogFile(folders.dataDir, { origin, state: 'ready' })
}

async function writeFirstEntry(
  { database, writer, origin, nowMs }: NewInstance,
  keys: LogKeys,
  ending: Ending,
): Promise<void> {
  const { schema, connections } = database
  const session = await openSession(connections.writer, idleTimeoutMs)
  try {
    await writeSuccession({ origin, keys, schema, writer, session, makeId, nowMs, hash: nativeSha256 }, ending)
  } finally {
    await session.close()
  }
}

async function createTokens({ folders, database }: NewInstance, sealKey: SealKey): Promise<void> {
  if ((await readSecretFile(folders.tokens)) !== undefined) return
  const secrets = Object.fromEntries(tokenRoles.map((role) => [role, createTokenSecret()])) as TokenFile
  const state = openPool(database.connections.state, 1, 30_000)
  try {
    for (const role of tokenRoles) {
      await insertFirstToken(state.query, database.schema, hashSecret(sealKey, secrets[role]), { name: role, role })
    }
  } finally {
    await state.close()
  }
  await writeSecretFile(folders.tokens, `${JSON.stringify(secrets, null, 2)}\n`)
}
