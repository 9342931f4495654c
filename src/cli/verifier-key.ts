import { parseBase64 } from '../../tlog/bytes.ts'
import { TlogError } from '../../tlog/errors.ts'
import { isP256Spki, parseVkey, type VerifierKey } from '../../tlog/note-key.ts'
import { readGivenFile } from '../ops/given-file.ts'
import { UsageError } from './command.ts'

export const vkeyOptions = { vkey: { type: 'string' }, 'vkey-file': { type: 'string' } } as const

export type VkeyValues = { readonly vkey?: string | undefined; readonly 'vkey-file'?: string | undefined }

/** UsageError unless exactly one of the two is given. */
export function requireVkey({ vkey, 'vkey-file': file }: VkeyValues): void {
  if ((vkey === undefined) === (file === undefined)) throw new UsageError('want one of --vkey and --vkey-file')
}

const vkeyBytesMax = 65_536

/** The log's key; TlogError `malformed-key`, or what reading the file says. */
export async function readVkey({ vkey, 'vkey-file': file }: VkeyValues): Promise<VerifierKey> {
  return parseVkey((vkey ?? (await readGivenFile(file ?? '', vkeyBytesMax)).toString('utf8')).trim())
}

/** The value of `--sth-key`: SPKI of a P-256 key. UsageError of anything else. */
export function readSthKey(text: string): Uint8Array {
  try {
    const spki = parseBase64(text.trim())
    if (isP256Spki(spki)) return spki
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
  }
  throw new UsageError('--sth-key: want a P-256 key, base64 of its SPKI')
}
