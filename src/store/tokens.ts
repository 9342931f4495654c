import { type ActPart, actOf, type SignedAct } from './acts.ts'
import type { Schema } from './batch.ts'
import { type Row, readBoolean, readInteger, readIntegerOrNull, readText, readTextOrNull } from './row.ts'
import type { Query } from './session.ts'

export type TokenRole = 'writer' | 'auditor' | 'admin'

/** More of them that hold are refused; those who make tokens at the same time may go a few beyond it. */
export const liveTokensMax = 10_000

/** What whoever presents a token may do. */
export type TokenGrant = {
  /** UUID text. */
  readonly id: string
  readonly name: string
  readonly role: TokenRole
  /** What of its role; null: all of it. */
  readonly scopes: readonly string[] | null
  /** A second, of each server; 0: no limit; null: what the settings say. */
  readonly requestsPerSecond: number | null
  readonly entriesPerSecond: number | null
}

/** A token that was looked up by its hash and holds. */
export type FoundToken = TokenGrant & {
  /** Until it expires, milliseconds from now by the database's clock; null: it does not. */
  readonly remainingMs: number | null
  /** Microseconds since 1970: the database's clock now. */
  readonly foundAt: number
  /** Whether its last use was written down more than a minute ago, or never. */
  readonly isUseDue: boolean
}

/** A token as it is stored; its secret is not. Times are microseconds since 1970. */
export type StoredToken = TokenGrant & {
  readonly createdAt: number
  /** `token:NAME`; null: the first start. */
  readonly createdBy: string | null
  readonly expiresAt: number | null
  readonly revokedAt: number | null
  /** To the minute. */
  readonly lastUsedAt: number | null
  /** By the database's clock. */
  readonly state: 'live' | 'expired' | 'revoked'
}

/** A token to be stored. */
export type NewToken = TokenGrant & { readonly createdBy: string; readonly expiresAt: number | null }

const live = 'revoked_at is null and (expires_at is null or expires_at > clock_timestamp())'
/** Administrators who may manage tokens, for good. */
const lasting = `role = 'admin' and revoked_at is null and expires_at is null
  and (scopes is null or 'tokens:manage' = any (scopes))`
const grantColumns = 'id, name, role, scopes, rate_requests, rate_entries'
const tokenColumns = `${grantColumns}, created_by, revoked_at is null as is_held, ${live} as is_live,
  ${micros('created_at')}, ${micros('expires_at')}, ${micros('revoked_at')}, ${micros('last_used_at')}`

function micros(column: string): string {
  return `(extract(epoch from ${column}) * 1000000)::bigint as ${column}_us`
}

function timeOf(place: string): string {
  return `timestamptz '1970-01-01 00:00:00+00' + ${place}::bigint * interval '1 microsecond'`
}

/** The token of this hash, unless it expired or was revoked. */
export async function findToken(query: Query, schema: Schema, hash: Uint8Array): Promise<FoundToken | undefined> {
  const [row] = await query(
    `select ${grantColumns},
       ceil(extract(epoch from expires_at - clock_timestamp()) * 1000)::bigint as remaining_ms,
       (extract(epoch from clock_timestamp()) * 1000000)::bigint as found_us,
       last_used_at is null or last_used_at < clock_timestamp() - interval '1 minute' as is_use_due
     from ${schema.state}.tokens
     where token_hash = $1
       and ${live}`,
    [hash],
  )
  if (row === undefined) return undefined
  return {
    ...grantOf(row),
    remainingMs: readIntegerOrNull(row, 'remaining_ms'),
    foundAt: readInteger(row, 'found_us'),
    isUseDue: readBoolean(row, 'is_use_due'),
  }
}

export async function readToken(query: Query, schema: Schema, id: string): Promise<StoredToken | undefined> {
  const [row] = await query(`select ${tokenColumns} from ${schema.state}.tokens where id = $1`, [id])
  return row === undefined ? undefined : tokenOf(row)
}

/** Up to `limit` tokens behind the one of the id `after`, oldest first; from the first where that is undefined. */
export async function readTokensAfter(
  query: Query,
  schema: Schema,
  after: string | undefined,
  limit: number,
): Promise<readonly StoredToken[]> {
  const rows = await query(
    `select ${tokenColumns}
     from ${schema.state}.tokens
     where $1::uuid is null or id > $1::uuid
     order by id
     limit $2`,
    [after ?? null, limit],
  )
  return rows.map(tokenOf)
}

/**
 * A first start's token. What is there of its name was made by a first start that was cut short before anybody had the
 * secret: this one takes its place.
 */
export async function insertFirstToken(
  query: Query,
  schema: Schema,
  hash: Uint8Array,
  { name, role }: Pick<TokenGrant, 'name' | 'role'>,
): Promise<void> {
  await query(
    `insert into ${schema.state}.tokens (token_hash, name, role)
     values ($1, $2, $3)
     on conflict (lower(name collate "C")) where role = 'writer' or revoked_at is null
     do update set token_hash = excluded.token_hash`,
    [hash, name, role],
  )
}

/** Stores a token and tells of it, both or neither. `undefined`: neither, `whyNotStored` knows the reason. */
export async function insertToken(
  query: Query,
  schema: Schema,
  hash: Uint8Array,
  token: NewToken,
  told: SignedAct,
): Promise<StoredToken | undefined> {
  // Any conflict but that of names would be one of random ids or hashes.
  const change = `insert into ${schema.state}.tokens (${grantColumns}, created_by, expires_at, token_hash)
     select $1::uuid, $2, $3, $4::text[], $5::bigint, $6::bigint, $7, ${timeOf('$8')}, $9::bytea
     where (select count(*) from ${schema.state}.tokens where ${live}) < ${liveTokensMax}
     on conflict do nothing
     returning ${tokenColumns}`
  const { id, name, role, scopes, requestsPerSecond, entriesPerSecond, createdBy, expiresAt } = token
  return changeAndTell(query, change, actOf(schema, told, 10), [
    ...[id, name, role, scopes, requestsPerSecond, entriesPerSecond, createdBy, expiresAt, hash],
  ])
}

export async function isNameTaken(query: Query, schema: Schema, name: string): Promise<boolean> {
  const rows = await query(
    `select from ${schema.state}.tokens
     where lower(name collate "C") = lower($1 collate "C")
       and (role = 'writer' or revoked_at is null)`,
    [name],
  )
  return rows.length > 0
}

/**
 * Revokes a token and tells of it, both or neither. `undefined`: neither, since it is not there, was revoked before, or
 * is the last administrator's that lasts.
 */
export async function revokeToken(
  query: Query,
  schema: Schema,
  id: string,
  told: SignedAct,
): Promise<StoredToken | undefined> {
  const change = `${lockLasting(schema)}
     update ${schema.state}.tokens
     set revoked_at = clock_timestamp()
     where id = $1::uuid and revoked_at is null and ${leavesOneLasting}
     returning ${tokenColumns}`
  return changeAndTell(query, change, actOf(schema, told, 2), [id])
}

/** Lets a token expire at a time, else as `revokeToken`; a token that has expired stays so. */
export async function expireToken(
  query: Query,
  schema: Schema,
  id: string,
  expiresAt: number,
  told: SignedAct,
): Promise<StoredToken | undefined> {
  const change = `${lockLasting(schema)}
     update ${schema.state}.tokens
     set expires_at = ${timeOf('$2')}
     where id = $1::uuid and ${live} and ${leavesOneLasting}
     returning ${tokenColumns}`
  return changeAndTell(query, change, actOf(schema, told, 3), [id, expiresAt])
}

// Two administrators who revoke each other at the same time must not both succeed: whoever comes second waits here, and
// then no longer sees the row that the first one changed. In order of ids, so that they wait and do not deadlock.
function lockLasting(schema: Schema): string {
  return `with lasting as materialized (
       select id from ${schema.state}.tokens where ${lasting} order by id for update
     )`
}

const leavesOneLasting = `(not (${lasting}) or exists (select from lasting where lasting.id <> $1::uuid))`

/** One statement: `change`, and the act where it changed something. */
async function changeAndTell(
  query: Query,
  change: string,
  told: ActPart,
  values: readonly unknown[],
): Promise<StoredToken | undefined> {
  const [row] = await query(
    `with changed as (${change}),
     told as (${told.text})
     select * from changed`,
    [...values, ...told.values],
  )
  return row === undefined ? undefined : tokenOf(row)
}

/** Microseconds since 1970 at which a token of this id was used. */
export type TokenUse = readonly [id: string, usedAt: number]

/** Writes down last uses, at most one a minute of a token, of all servers together. Waits for nobody. */
export async function recordUses(query: Query, schema: Schema, uses: readonly TokenUse[]): Promise<void> {
  await query(
    `with due as (
       select t.id, ${timeOf('u.used_us')} as used_at
       from unnest($1::uuid[], $2::bigint[]) as u (id, used_us)
       join ${schema.state}.tokens t on t.id = u.id
       where t.last_used_at is null or t.last_used_at < ${timeOf('u.used_us')} - interval '1 minute'
       for update of t skip locked
     )
     update ${schema.state}.tokens t
     set last_used_at = due.used_at
     from due
     where t.id = due.id`,
    [uses.map(([id]) => id), uses.map(([, usedAt]) => usedAt)],
  )
}

function tokenOf(row: Row): StoredToken {
  const isHeld = readBoolean(row, 'is_held')
  return {
    ...grantOf(row),
    createdAt: readInteger(row, 'created_at_us'),
    createdBy: readTextOrNull(row, 'created_by'),
    expiresAt: readIntegerOrNull(row, 'expires_at_us'),
    revokedAt: readIntegerOrNull(row, 'revoked_at_us'),
    lastUsedAt: readIntegerOrNull(row, 'last_used_at_us'),
    state: !isHeld ? 'revoked' : readBoolean(row, 'is_live') ? 'live' : 'expired',
  }
}

function grantOf(row: Row): TokenGrant {
  return {
    id: readText(row, 'id'),
    name: readText(row, 'name'),
    role: readRole(readText(row, 'role')),
    scopes: readTextsOrNull(row, 'scopes'),
    requestsPerSecond: readIntegerOrNull(row, 'rate_requests'),
    entriesPerSecond: readIntegerOrNull(row, 'rate_entries'),
  }
}

function readTextsOrNull(row: Row, column: string): readonly string[] | null {
  const list: unknown = row[column]
  if (list === null) return null
  if (Array.isArray(list) && list.every((each) => typeof each === 'string')) return list as string[]
  throw new TypeError(`column ${column}: got ${typeof list}, want texts`)
}

function readRole(role: string): TokenRole {
  if (role === 'writer' || role === 'auditor' || role === 'admin') return role
  throw new RangeError(`token role: got ${role}`)
}
