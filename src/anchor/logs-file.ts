import { dirname, resolve } from 'node:path'
import { decodeUtf8 } from '../../tlog/bytes.ts'
import { ed25519KeyType, parseVkey } from '../../tlog/note-key.ts'
import { readGivenFile } from '../ops/given-file.ts'
import { anchorNamePattern } from './authorities-file.ts'
import type { ExternalLog } from './external-log.ts'

const fileBytesMax = 65_536

/**
 * Reads a file of lines `KIND NAME URL VKEY [TOKEN_FILE]`: KIND is `dendrolog` or `tlog`, TOKEN_FILE a file with a writer's
 * token, from the folder of this one on. Empty lines and those that begin with `#` are left out. `own` is the origin of
 * the log itself, which is no ledger outside. Throws with the line.
 */
export async function readAnchorLogs(
  path: string,
  own: string,
  readToken: (path: string) => Promise<string>,
): Promise<readonly ExternalLog[]> {
  const lines = decodeUtf8(await readGivenFile(path, fileBytesMax)).split('\n')
  const logs: ExternalLog[] = []
  for (const [i, line] of lines.entries()) {
    const text = line.trim()
    if (text === '' || text.startsWith('#')) continue
    try {
      const log = await readLog(text.split(/\s+/), (file) => readToken(resolve(dirname(path), file)))
      if (parseVkey(log.vkey).name === own) throw new Error('it is this log itself')
      if (logs.some(({ name }) => name === log.name)) throw new Error(`a second ${log.name}`)
      logs.push(log)
    } catch (cause) {
      throw new Error(`line ${i + 1}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    }
  }
  if (logs.length === 0) throw new Error('no log')
  return logs
}

async function readLog(
  [kind = '', name = '', url = '', vkey = '', tokenFile, ...surplus]: readonly string[],
  readToken: (file: string) => Promise<string>,
): Promise<ExternalLog> {
  if (vkey === '' || surplus.length > 0) throw new Error('want KIND NAME URL VKEY [TOKEN_FILE]')
  if (kind !== 'dendrolog' && kind !== 'tlog') throw new Error('KIND: want dendrolog or tlog')
  if (!anchorNamePattern.test(name)) throw new Error(`name ${JSON.stringify(name.slice(0, 80))}`)
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) throw new Error('want an http:// or https:// URL')
  if (parseVkey(vkey).type !== ed25519KeyType) throw new Error('VKEY: want one of Ed25519')
  return {
    name,
    kind,
    url: new URL(url),
    vkey,
    token: tokenFile === undefined ? undefined : await readToken(tokenFile),
  }
}
