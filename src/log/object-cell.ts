import { randomBytes } from 'node:crypto'
import type { GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3'
import { encodeCell, encodeEnded, movedCell, type OpenedCell, readCell } from './signer-cell.ts'

/** An object of a store that speaks S3. Without keys the client looks where AWS's programs do. */
export type ObjectPlace = {
  readonly bucket: string
  readonly key: string
  /** Of another store than AWS's. */
  readonly endpoint: string | undefined
  readonly region: string | undefined
  readonly accessKeyId: string | undefined
  readonly secretAccessKey: string | undefined
}

/** A head that is unsigned for 10 s stops the log: no answer by then is none. */
const answerMs = 10_000
const regionDefault = 'us-east-1'

/** What an object is compared by: its ETag, null where there is none. */
type Version = { readonly etag: string | null }

type Sdk = typeof import('@aws-sdk/client-s3')

/**
 * A cell in an object: for several servers, where the store honours If-Match and If-None-Match. The client library is
 * loaded here, so that whoever has no such cell need not install it; now, so that taking over does not wait for it.
 */
export function openObjectCell(place: ObjectPlace): OpenedCell {
  const opening = ObjectStore.open(place)
  // Whoever asks for something meets it.
  opening.catch(() => {})
  let known: Version | undefined
  const replace = async (text: string): Promise<void> => {
    const before = known
    known = undefined
    if (before === undefined) throw new Error(`signer state ${nameOf(place)}: written without being read`)
    const etag = await (await opening).replace(place.key, before, text)
    if (etag === undefined) throw movedCell()
    known = { etag }
  }
  return {
    prepare: async () => (await opening).checkCompares(),
    read: async () => {
      const found = await (await opening).read(place.key)
      known = { etag: found?.etag ?? null }
      return found === undefined ? undefined : readCell(`signer state ${nameOf(place)}`, found.text)
    },
    write: (checkpoint) => replace(encodeCell(checkpoint)),
    end: (ending) => replace(encodeEnded(ending)),
    close: async () => (await opening.catch(() => undefined))?.close(),
  }
}

/** `s3://bucket/key`. */
function nameOf({ bucket, key }: ObjectPlace): string {
  return `s3://${bucket}/${key}`
}

class ObjectStore {
  readonly #sdk: Sdk
  readonly #client: S3Client
  readonly #place: ObjectPlace

  private constructor(sdk: Sdk, client: S3Client, place: ObjectPlace) {
    this.#sdk = sdk
    this.#client = client
    this.#place = place
  }

  static async open(place: ObjectPlace): Promise<ObjectStore> {
    const sdk = await import('@aws-sdk/client-s3').catch((cause: unknown) => {
      throw new Error(`signer state ${nameOf(place)}: install @aws-sdk/client-s3 to use it`, { cause })
    })
    const { endpoint, region, accessKeyId, secretAccessKey } = place
    const hasKeys = accessKeyId !== undefined && secretAccessKey !== undefined
    const client = new sdk.S3Client({
      // A repeated PUT whose first attempt went through would meet itself; the log tries again from what it reads.
      maxAttempts: 1,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true, region: region ?? regionDefault }),
      ...(region === undefined ? {} : { region }),
      ...(hasKeys ? { credentials: { accessKeyId, secretAccessKey } } : {}),
    })
    return new ObjectStore(sdk, client, place)
  }

  /** Undefined where there is no such object. */
  async read(key: string): Promise<{ readonly text: string; readonly etag: string } | undefined> {
    const command = new this.#sdk.GetObjectCommand({ Bucket: this.#place.bucket, Key: key })
    try {
      const { Body, ETag } = (await this.#client.send(command, withinTime())) as GetObjectCommandOutput
      if (Body === undefined || ETag === undefined) throw new Error('an answer without body or ETag')
      return { text: await Body.transformToString(), etag: ETag }
    } catch (error) {
      if (codeOf(error) === 'NoSuchKey') return undefined
      throw this.#named(error)
    }
  }

  /** The new ETag; undefined where the object is not of the version `before` any more. */
  async replace(key: string, before: Version, text: string): Promise<string | undefined> {
    const condition = before.etag === null ? { IfNoneMatch: '*' } : { IfMatch: before.etag }
    const object = { Bucket: this.#place.bucket, Key: key, Body: text, ContentType: 'application/json' }
    try {
      const { ETag } = await this.#client.send(
        new this.#sdk.PutObjectCommand({ ...object, ...condition }),
        withinTime(),
      )
      if (ETag === undefined) throw new Error('an answer without ETag')
      return ETag
    } catch (error) {
      if (refusals.has(codeOf(error))) return undefined
      throw this.#named(error)
    }
  }

  /** Throws where the store takes what it must refuse: there two servers would overwrite what each other remembers. */
  async checkCompares(): Promise<void> {
    const key = `${this.#place.key}.probe-${randomBytes(8).toString('hex')}`
    try {
      const first = await this.replace(key, { etag: null }, 'first')
      const isMade = first !== undefined
      const second = isMade ? await this.replace(key, { etag: first }, 'second') : undefined
      const refuses =
        (await this.replace(key, { etag: null }, 'again')) === undefined &&
        (await this.replace(key, { etag: first ?? '"none"' }, 'stale')) === undefined
      if (second !== undefined && refuses) return
    } finally {
      await this.#client
        .send(new this.#sdk.DeleteObjectCommand({ Bucket: this.#place.bucket, Key: key }), withinTime())
        .catch(() => {})
    }
    throw new Error(
      `signer state ${nameOf(this.#place)}: this store does not honour If-Match and If-None-Match of a PUT; two ` +
        'servers would overwrite what each other remembers. Use another store, or a database',
    )
  }

  close(): void {
    this.#client.destroy()
  }

  /** What the client says is not passed on as it is: its errors carry requests. */
  #named(error: unknown): Error {
    const { message } = error instanceof Error ? error : { message: String(error) }
    return new Error(`signer state ${nameOf(this.#place)}: ${codeOf(error)}: ${message}`)
  }
}

/** RFC 9110 13.1.1; the second is AWS's for a write that is under way at the same time. */
const refusals: ReadonlySet<string> = new Set(['PreconditionFailed', 'ConditionalRequestConflict'])

function codeOf(error: unknown): string {
  return error instanceof Error ? error.name : 'unknown'
}

function withinTime(): { readonly abortSignal: AbortSignal } {
  return { abortSignal: AbortSignal.timeout(answerMs) }
}
