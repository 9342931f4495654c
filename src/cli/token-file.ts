import { realpath } from 'node:fs/promises'
import { readSecretFile } from '../store/secret-file.ts'
import type { TokenRole } from '../store/tokens.ts'

/**
 * The token of a file that holds nothing else, or a role's of a tokens.json. Never part of a message. Like the server's
 * own secrets it is refused where others may read it.
 */
export async function readTokenFile(path: string, role: TokenRole): Promise<string> {
  const text = await readSecret(path)
  const token = text.trimStart().startsWith('{') ? memberOf(path, text, role) : text.trim()
  if (!/^[A-Za-z0-9._~+/-]+=*$/.test(token)) throw new Error(`token file ${path}: holds no token`)
  return token
}

// What it links to counts: orchestrators mount secrets as links.
async function readSecret(path: string): Promise<string> {
  const target = await realpath(path).catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`token file ${path}: cannot be read (${cause.code}); name it with --token-file`, { cause })
  })
  const text = await readSecretFile(target).catch((cause: Error) => {
    throw new Error(`token file ${cause.message}`, { cause })
  })
  if (text === undefined) throw new Error(`token file ${path}: is gone`)
  return text
}

function memberOf(path: string, text: string, role: string): string {
  try {
    const token = (JSON.parse(text) as Readonly<Record<string, unknown>>)[role]
    if (typeof token === 'string') return token
  } catch {
    // The reason would quote the file.
  }
  throw new Error(`token file ${path}: has no member "${role}"`)
}
