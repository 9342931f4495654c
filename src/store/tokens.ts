import type { Schema } from './batch.ts'
import { readText, readTextOrNull } from './row.ts'
import type { Query } from './session.ts'

export type TokenRole = 'writer' | 'auditor' | 'admin'

/** A token as it is stored; the secret is not. */
export type StoredToken = { readonly name: string; readonly role: TokenRole }

/** The token of this hash, unless it expired or was revoked. */
export async function findToken(query: Query, schema: Schema, hash: Uint8Array): Promise<StoredToken | undefined> {
  const [row] = await query(
    `select name, role
     from ${schema.state}.tokens
     where token_hash = $1
       and revoked_at is null
       and (expires_at is null or expires_at > clock_timestamp())`,
    [hash],
  )
  if (row === undefined) return undefined
  return { name: readText(row, 'name'), role: readRole(readTextOrNull(row, 'role')) }
}

export async function insertToken(query: Query, schema: Schema, hash: Uint8Array, token: StoredToken): Promise<void> {
  await query(`insert into ${schema.state}.tokens (token_hash, name, role) values ($1, $2, $3)`, [
    ...[hash, token.name, token.role],
  ])
}

function readRole(role: string | null): TokenRole {
  if (role === 'writer' || role === 'auditor' || role === 'admin') return role
  throw new RangeError(`token role: got ${role}`)
}
