import type { KMSClient, SignCommandInput } from '@aws-sdk/client-kms'
import { publicKeyOf } from './public-key.ts'
import { type KeyAlgorithm, type RemoteKey, RemoteKeyError } from './remote-key.ts'

type Sdk = typeof import('@aws-sdk/client-kms')

/**
 * `awskms://[ENDPOINT]/KEY[?region=REGION&plain=true]`: KEY is an id, ARN or alias; ENDPOINT is of another service than
 * AWS's, asked without TLS where it is `plain`.
 */
type KmsPlace = { readonly keyId: string; readonly endpoint: string | undefined; readonly region: string | undefined }

const answerMs = 5_000
const attempts = 3
/** Of another service than AWS's, which has none. */
const noRegion = 'us-east-1'

/** A key of AWS KMS, or of what speaks its API. Credentials are looked for where AWS's programs do. */
export async function openKmsKey(uri: string, algorithm: KeyAlgorithm): Promise<RemoteKey> {
  const place = parseUri(uri)
  const sdk = await import('@aws-sdk/client-kms').catch((cause: unknown) => {
    throw new RemoteKeyError(`${uri}: install @aws-sdk/client-kms to use it`, { cause })
  })
  const client = new sdk.KMSClient({
    ...(place.endpoint === undefined ? {} : { endpoint: place.endpoint, region: noRegion }),
    ...(place.region === undefined ? {} : { region: place.region }),
    maxAttempts: attempts,
  })
  const ask = <T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> =>
    work(AbortSignal.timeout(answerMs)).catch((cause: unknown) => {
      throw new RemoteKeyError(`${uri}: ${what}: ${reasonOf(cause)}`, { cause })
    })
  const publicKey = await ask('its public key', (signal) => readPublicKey(sdk, client, place.keyId, algorithm, signal))
  return {
    publicKey,
    sign: (message) =>
      ask('it does not sign', async (abortSignal) => {
        const input = signInput(place.keyId, algorithm, message)
        const { Signature } = await client.send(new sdk.SignCommand(input), { abortSignal })
        if (Signature === undefined) throw new RemoteKeyError('the answer has no signature')
        return new Uint8Array(Signature)
      }),
    close: async () => client.destroy(),
  }
}

async function readPublicKey(
  sdk: Sdk,
  client: KMSClient,
  keyId: string,
  algorithm: KeyAlgorithm,
  abortSignal: AbortSignal,
): Promise<Uint8Array> {
  const { PublicKey } = await client.send(new sdk.GetPublicKeyCommand({ KeyId: keyId }), { abortSignal })
  if (PublicKey === undefined) throw new RemoteKeyError('the answer has no key')
  return publicKeyOf(PublicKey, algorithm)
}

/** The message itself: what a log signs has less than the 4,096 bytes that are taken. */
function signInput(KeyId: string, algorithm: KeyAlgorithm, Message: Uint8Array): SignCommandInput {
  const SigningAlgorithm = algorithm === 'ed25519' ? 'ED25519_SHA_512' : 'ECDSA_SHA_256'
  return { KeyId, Message, MessageType: 'RAW', SigningAlgorithm }
}

function parseUri(uri: string): KmsPlace {
  const match = /^awskms:\/\/([^/?#]*)\/([^?#]+)(?:\?(.*))?$/.exec(uri)
  if (match === null) throw new RemoteKeyError(`${uri}: want awskms:///KEY or awskms://ENDPOINT/KEY`)
  const [, host = '', keyId = '', query = ''] = match
  const values = new URLSearchParams(query)
  const scheme = values.get('plain') === 'true' ? 'http' : 'https'
  const endpoint = host === '' ? undefined : `${scheme}://${host}`
  return { keyId: decodeURIComponent(keyId), endpoint, region: values.get('region') ?? undefined }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.name === 'Error' ? error.message : `${error.name}: ${error.message}`
}
