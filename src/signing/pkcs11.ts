import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { derOfRaw } from '../../tlog/ecdsa-signature.ts'
import { type Library, loadLibrary, type Pkcs11 } from './pkcs11-api.ts'
import { publicKeyOfPoint } from './public-key.ts'
import { type KeyAlgorithm, type RemoteKey, RemoteKeyError } from './remote-key.ts'

/** A URI of RFC 7512, as far as a key to sign with needs it. */
type TokenPlace = {
  readonly modulePath: string
  readonly token: string
  readonly object: string | undefined
  readonly id: Uint8Array | undefined
  readonly readPin: () => Promise<string>
}

type OpenedToken = { readonly module: Pkcs11; readonly session: Buffer; readonly key: Buffer }

/** Names of PKCS#11 3.0 that are needed here. */
const ck = {
  ...{ serialSession: 0x4, user: 1, publicKey: 2, privateKey: 3 },
  ...{ classOf: 0x0, label: 0x3, id: 0x102, ecPoint: 0x181 },
  ...{ ecdsa: 0x1041, eddsa: 0x1057 },
} as const
const [alreadyInitialized, alreadyLoggedIn] = [0x191, 0x100]
/** The session or the token is gone. */
const gone: readonly number[] = [0x30, 0x32, 0x82, 0xb0, 0xb3, 0xe0, 0x101]
const signatureBytes = 64

/**
 * A key of a token behind PKCS#11, as of an HSM: `pkcs11:token=T;object=O?module-path=FILE&pin-source=file:FILE`
 * (RFC 7512). A session that was lost is opened again.
 */
export async function openTokenKey(uri: string, algorithm: KeyAlgorithm): Promise<RemoteKey> {
  const place = parseUri(uri)
  const shown = uri.split('?', 1)[0] ?? ''
  const library = await loadLibrary().catch((cause: unknown) => {
    throw new RemoteKeyError(`${shown}: install pkcs11js to use it`, { cause })
  })
  const explained = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (cause) {
      if (cause instanceof RemoteKeyError) throw new RemoteKeyError(`${shown}: ${what}: ${cause.message}`, { cause })
      throw new RemoteKeyError(`${shown}: ${what}: ${(cause as Error).message}`, { cause })
    }
  }
  let opened: OpenedToken | undefined = await explained('it cannot be opened', () => openToken(library, place))
  const publicKey = await explained('its public key', async () =>
    readPublicKey(opened as OpenedToken, place, algorithm),
  )
  const signOnce = async (message: Uint8Array): Promise<Uint8Array> => {
    opened ??= await openToken(library, place)
    return signWith(opened, algorithm, message)
  }
  return {
    publicKey,
    sign: (message) =>
      explained('it does not sign', async () => {
        try {
          return await signOnce(message)
        } catch (error) {
          if (!gone.includes(codeOf(error))) throw error
          opened = undefined
          return signOnce(message)
        }
      }),
    close: async () => {
      if (opened !== undefined) opened.module.C_CloseSession(opened.session)
      opened = undefined
    },
  }
}

function signWith({ module, session, key }: OpenedToken, algorithm: KeyAlgorithm, message: Uint8Array): Uint8Array {
  const out = Buffer.alloc(signatureBytes)
  if (algorithm === 'ed25519') {
    module.C_SignInit(session, { mechanism: ck.eddsa }, key)
    return new Uint8Array(module.C_Sign(session, Buffer.from(message), out))
  }
  module.C_SignInit(session, { mechanism: ck.ecdsa }, key)
  return derOfRaw(module.C_Sign(session, createHash('sha256').update(message).digest(), out))
}

async function openToken({ PKCS11 }: Library, place: TokenPlace): Promise<OpenedToken> {
  const module = new PKCS11()
  module.load(place.modulePath)
  try {
    module.C_Initialize()
  } catch (error) {
    if (codeOf(error) !== alreadyInitialized) throw error
  }
  const slot = module.C_GetSlotList(true).find((each) => module.C_GetTokenInfo(each).label.trim() === place.token)
  if (slot === undefined) throw new RemoteKeyError(`there is no token ${JSON.stringify(place.token)}`)
  const session = module.C_OpenSession(slot, ck.serialSession)
  try {
    login(module, session, await place.readPin())
    const key = findObject(module, session, place, ck.privateKey)
    return { module, session, key }
  } catch (error) {
    module.C_CloseSession(session)
    throw error
  }
}

/** All sessions of a process with a token are logged in, or none. */
function login(module: Pkcs11, session: Buffer, pin: string): void {
  try {
    module.C_Login(session, ck.user, pin)
  } catch (error) {
    if (codeOf(error) !== alreadyLoggedIn) throw error
  }
}

function findObject(module: Pkcs11, session: Buffer, { object, id }: TokenPlace, kind: number): Buffer {
  module.C_FindObjectsInit(session, [
    { type: ck.classOf, value: kind },
    ...(object === undefined ? [] : [{ type: ck.label, value: object }]),
    ...(id === undefined ? [] : [{ type: ck.id, value: Buffer.from(id) }]),
  ])
  const found = module.C_FindObjects(session, 2)
  module.C_FindObjectsFinal(session)
  const [key] = found
  if (key === undefined || found.length > 1) {
    throw new RemoteKeyError(`${found.length === 0 ? 'no key' : 'several keys'} of this name`)
  }
  return key
}

function readPublicKey(opened: OpenedToken, place: TokenPlace, algorithm: KeyAlgorithm): Uint8Array {
  const { module, session } = opened
  const key = findObject(module, session, place, ck.publicKey)
  const [point] = module.C_GetAttributeValue(session, key, [{ type: ck.ecPoint }])
  return publicKeyOfPoint(point?.value as Buffer, algorithm)
}

function codeOf(error: unknown): number {
  const { code } = Object(error) as { readonly code?: unknown }
  return typeof code === 'number' ? code : -1
}

function parseUri(uri: string): TokenPlace {
  const [, path = '', query = ''] = /^pkcs11:([^?]*)(?:\?(.*))?$/.exec(uri) ?? []
  const names = attributesOf(path, ';')
  const how = attributesOf(query, '&')
  const [token, modulePath, pinSource] = [names.get('token'), how.get('module-path'), how.get('pin-source')]
  const [object, id] = [names.get('object'), names.get('id')]
  if (token === undefined || modulePath === undefined || pinSource === undefined) {
    throw new RemoteKeyError('pkcs11 URI: want token=…;object=…?module-path=FILE&pin-source=file:FILE')
  }
  if (object === undefined && id === undefined) throw new RemoteKeyError('pkcs11 URI: want object=… or id=…')
  const pinFile = pinSource.replace(/^file:(\/\/)?/, '')
  return {
    ...{ modulePath, token, object, id: id === undefined ? undefined : Buffer.from(id, 'latin1') },
    readPin: async () => (await readFile(pinFile, 'utf8')).trim(),
  }
}

function attributesOf(text: string, separator: string): ReadonlyMap<string, string> {
  const pairs = text.split(separator).filter((each) => each !== '')
  return new Map(
    pairs.map((pair) => {
      const [name = '', ...rest] = pair.split('=')
      return [name, percentDecoded(rest.join('='))] as const
    }),
  )
}

/** Bytes as characters of Latin-1: an id may be any. */
function percentDecoded(text: string): string {
  return text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
