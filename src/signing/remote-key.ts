// Keys that are elsewhere: a key file holds a URI instead of a secret, and the public key that stood there when the log was
// made. The private key never enters this process.

/** Ed25519 signs notes, ECDSA on P-256 with SHA-256 STHs and receipts. */
export type KeyAlgorithm = 'ed25519' | 'p256'

export type RemoteKey = {
  /** Ed25519: 32 bytes; P-256: SubjectPublicKeyInfo, 91 bytes. */
  readonly publicKey: Uint8Array
  /** Ed25519: 64 bytes (RFC 8032); P-256: DER (RFC 3279). Rejects where it cannot be asked. */
  readonly sign: (message: Uint8Array) => Promise<Uint8Array>
  readonly close: () => Promise<void>
}

/** What keeps a remote key from signing; the message has the URI without secrets. */
export class RemoteKeyError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'RemoteKeyError'
  }
}

const schemes = ['awskms', 'pkcs11'] as const
export type KeyScheme = (typeof schemes)[number]

/** The scheme of a key URI; undefined where a text is none. */
export function keySchemeOf(text: string): KeyScheme | undefined {
  return schemes.find((scheme) => text.startsWith(`${scheme}:`))
}

/** Opens a key by its URI. The client of each kind is loaded only here: whoever has no such key need not install it. */
export async function openRemoteKey(uri: string, algorithm: KeyAlgorithm): Promise<RemoteKey> {
  switch (keySchemeOf(uri)) {
    case 'awskms':
      return (await import('./aws-kms.ts')).openKmsKey(uri, algorithm)
    case 'pkcs11':
      return (await import('./pkcs11.ts')).openTokenKey(uri, algorithm)
    default:
      throw new RemoteKeyError('key URI: want awskms:… or pkcs11:…')
  }
}
