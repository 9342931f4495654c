/** A token of SoftHSM 2 with both keys of a log, in a folder of its own. */
import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

export type SoftToken = {
  /** Of a key of this name. */
  readonly uri: (object: string) => string
  /** What a process needs to find the token. */
  readonly environment: Readonly<Record<string, string>>
  readonly pinFile: string
  /** Where it keeps its objects. */
  readonly folder: string
}

const pin = '5678-secret'

/** `root` is where Debian's packages of SoftHSM were unpacked. */
export async function makeSoftToken(root: string, folder: string): Promise<SoftToken> {
  const tokens = join(folder, 'tokens')
  await mkdir(tokens, { recursive: true })
  const conf = join(folder, 'softhsm2.conf')
  await writeFile(conf, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`)
  const pinFile = join(folder, 'pin')
  await writeFile(pinFile, `${pin}\n`, { mode: 0o600 })
  const library = join(root, 'usr/lib/x86_64-linux-gnu/softhsm')
  const modulePath = join(library, 'libsofthsm2.so')
  const environment = { SOFTHSM2_CONF: conf, LD_LIBRARY_PATH: join(root, 'usr/lib/x86_64-linux-gnu') }
  const init = ['--init-token', '--free', '--label', 'dendrolog', '--so-pin', '1234', '--pin', pin]
  const env = { ...process.env, ...environment }
  await promisify(execFile)(join(root, 'usr/bin/softhsm2-util'), ['--module', modulePath, ...init], { env })
  // In a process of its own: the module reads where its tokens are once.
  await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'make-keys.mjs'), modulePath, pin], { env })
  const how = `module-path=${modulePath}&pin-source=file:${pinFile}`
  return { uri: (object) => `pkcs11:token=dendrolog;object=${object}?${how}`, environment, pinFile, folder: tokens }
}
