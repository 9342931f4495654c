import { X509Certificate } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import { decodeUtf8 } from '../../tlog/bytes.ts'
import { readGivenFile, UnfitFile } from '../ops/given-file.ts'

/** A time-stamp authority as a log knows it. */
export type KnownAuthority = {
  /** The log's name for it: letters, digits, `.`, `-`, `_`. */
  readonly name: string
  readonly url: URL
  /** What certificates of authorities must come from; others may stand between. */
  readonly roots: readonly X509Certificate[]
  readonly policy: string | undefined
}

const fileBytesMax = 65_536
const rootsBytesMax = 1_048_576
/** Names of authorities and other logs. */
export const anchorNamePattern: RegExp = /^[A-Za-z0-9._-]{1,64}$/
const policyPattern = /^[0-2](\.\d{1,18}){1,20}$/

/**
 * Reads a file of lines `NAME URL ROOTS [POLICY]`: ROOTS is a file of PEM certificates, from the folder of this one on, and
 * POLICY an object identifier. Empty lines and those that begin with `#` are left out. Throws with the line.
 */
export async function readAuthorities(path: string): Promise<readonly KnownAuthority[]> {
  const lines = decodeUtf8(await readGivenFile(path, fileBytesMax)).split('\n')
  const authorities: KnownAuthority[] = []
  for (const [i, line] of lines.entries()) {
    const text = line.trim()
    if (text === '' || text.startsWith('#')) continue
    try {
      authorities.push(await readAuthority(text.split(/\s+/), dirname(path), authorities))
    } catch (cause) {
      throw new Error(`line ${i + 1}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    }
  }
  if (authorities.length === 0) throw new Error('no authority')
  return authorities
}

async function readAuthority(
  [name = '', url = '', roots = '', policy, ...surplus]: readonly string[],
  folder: string,
  known: readonly KnownAuthority[],
): Promise<KnownAuthority> {
  if (roots === '' || surplus.length > 0) throw new Error('want NAME URL ROOTS [POLICY]')
  if (!anchorNamePattern.test(name)) throw new Error(`name ${JSON.stringify(name.slice(0, 80))}`)
  if (known.some((each) => each.name === name)) throw new Error(`a second ${name}`)
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) throw new Error('want an http:// or https:// URL')
  if (policy !== undefined && !policyPattern.test(policy)) throw new Error('policy: want an object identifier')
  return { name, url: new URL(url), roots: await readRoots(resolve(folder, roots)), policy }
}

/** The certificates of a PEM file; UnfitFile where there is none. */
export async function readRoots(path: string): Promise<readonly X509Certificate[]> {
  const text = (await readGivenFile(path, rootsBytesMax)).toString('latin1')
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) throw new UnfitFile(`${path}: no certificate in PEM`)
  return blocks.map((pem) => new X509Certificate(pem))
}
