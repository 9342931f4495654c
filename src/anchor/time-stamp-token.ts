import {
  type DerElement,
  DerError,
  derInteger,
  derOctets,
  derOid,
  derParts,
  derTag,
  derTime,
  expectDer,
  readDer,
} from './der.ts'

// What a time-stamp authority answers (RFC 3161 2.4.2): a status, and a CMS SignedData (RFC 5652) of a TSTInfo. Here it is
// only taken apart; `check-token.ts` says whether it proves anything.

export type TimeStampReply = {
  /** 0 granted, 1 granted with modifications; with others there is no token. */
  readonly status: number
  readonly reason: string
  /** The ContentInfo, as it came. */
  readonly token: Uint8Array | undefined
}

export type TimeStampToken = {
  readonly info: TstInfo
  /** Octets of TSTInfo: what the digest among the signed attributes is of. */
  readonly infoBytes: Uint8Array
  /** X.509, DER, in the order of the token. */
  readonly certificates: readonly Uint8Array[]
  readonly signer: TokenSigner
}

/** Times in microseconds since 1970. */
export type TstInfo = {
  readonly policy: string
  readonly imprint: { readonly algorithm: string; readonly hash: Uint8Array }
  readonly serialNumber: bigint
  readonly time: number
  /** How far `time` may be from the truth; 0 where the authority does not say. */
  readonly accuracy: number
  readonly nonce: bigint | undefined
}

export type TokenSigner = {
  /** Of its certificate: DER of the issuer's name and the serial number, or the subject key identifier. */
  readonly id: { readonly issuer: Uint8Array; readonly serialNumber: bigint } | { readonly keyId: Uint8Array }
  readonly digestAlgorithm: string
  readonly signatureAlgorithm: AlgorithmIdentifier
  readonly signature: Uint8Array
  /** The signed attributes as a SET OF, which the signature is over. */
  readonly attributesBytes: Uint8Array
  /** By object identifier: the one value of each. */
  readonly attributes: ReadonlyMap<string, DerElement>
}

export type AlgorithmIdentifier = { readonly oid: string; readonly parameters: DerElement | undefined }

const signedDataOid = '1.2.840.113549.1.7.2'
const tstInfoOid = '1.2.840.113549.1.9.16.1.4'
const failures: Readonly<Record<number, string>> = {
  ...{ 0: 'bad algorithm', 2: 'bad request', 5: 'bad data format', 14: 'its time is not available' },
  ...{ 15: 'policy not accepted', 16: 'extension not accepted', 17: 'information not available', 25: 'system failure' },
}
const statuses: readonly string[] = [
  ...['granted', 'granted with modifications', 'rejected', 'waiting', 'revocation warning', 'revoked'],
]

/** Takes apart a TimeStampResp; DerError where it is none. */
export function parseTimeStampReply(bytes: Uint8Array): TimeStampReply {
  const [info, token, ...surplus] = derParts(expectDer(readDer(bytes), derTag.sequence, 'reply'))
  if (surplus.length > 0) throw new DerError('reply: more than status and token')
  const [status, ...details] = derParts(expectDer(info, derTag.sequence, 'status'))
  const code = Number(derInteger(status, 'status'))
  const reason = [statuses[code] ?? `status ${code}`, ...details.flatMap(describeDetail)].join(', ')
  return { status: code, reason, token: token?.raw }
}

/** Takes apart the ContentInfo of a token; DerError where it is none, or has no or several signers. */
export function parseTimeStampToken(bytes: Uint8Array): TimeStampToken {
  const signedData = readContentInfo(bytes)
  const [version, digests, content, ...rest] = derParts(expectDer(signedData, derTag.sequence, 'SignedData'))
  if (derInteger(version, 'version of SignedData') !== 3n) throw new DerError('SignedData: version is not 3')
  expectDer(digests, derTag.set, 'digest algorithms')
  const infoBytes = readContent(content)
  const signers = derParts(expectDer(rest.at(-1), derTag.set, 'signers'))
  if (signers.length !== 1) throw new DerError(`SignedData: ${signers.length} signers, want one`)
  const certificates = rest.find(({ tag }) => tag === 0xa0)
  return {
    info: parseTstInfo(infoBytes),
    infoBytes,
    certificates: certificates === undefined ? [] : derParts(certificates).map(({ raw }) => raw),
    signer: parseSigner(signers[0] as DerElement),
  }
}

/** AlgorithmIdentifier (RFC 5280 4.1.1.2). */
export function parseAlgorithm(element: DerElement | undefined, what: string): AlgorithmIdentifier {
  const [oid, parameters, ...surplus] = derParts(expectDer(element, derTag.sequence, what))
  if (surplus.length > 0) throw new DerError(`${what}: more than algorithm and parameters`)
  return { oid: derOid(oid, what), parameters: parameters?.tag === derTag.null ? undefined : parameters }
}

function readContentInfo(bytes: Uint8Array): DerElement | undefined {
  const [type, wrapped] = derParts(expectDer(readDer(bytes), derTag.sequence, 'token'))
  if (derOid(type, 'type of the token') !== signedDataOid) throw new DerError('token: not CMS SignedData')
  return derParts(expectDer(wrapped, 0xa0, 'token'))[0]
}

function readContent(content: DerElement | undefined): Uint8Array {
  const [type, wrapped] = derParts(expectDer(content, derTag.sequence, 'content'))
  if (derOid(type, 'type of the content') !== tstInfoOid) throw new DerError('token: its content is no time stamp')
  return derOctets(derParts(expectDer(wrapped, 0xa0, 'content'))[0], 'content')
}

function parseTstInfo(bytes: Uint8Array): TstInfo {
  const [version, policy, imprint, serialNumber, time, ...rest] = derParts(
    expectDer(readDer(bytes), derTag.sequence, 'TSTInfo'),
  )
  if (derInteger(version, 'version of TSTInfo') !== 1n) throw new DerError('TSTInfo: version is not 1')
  const [algorithm, hash] = derParts(expectDer(imprint, derTag.sequence, 'imprint'))
  const nonce = rest.find(({ tag }) => tag === derTag.integer)
  return {
    policy: derOid(policy, 'policy'),
    imprint: { algorithm: parseAlgorithm(algorithm, 'imprint').oid, hash: derOctets(hash, 'imprint') },
    serialNumber: derInteger(serialNumber, 'serial number'),
    time: derTime(time, 'time'),
    accuracy: readAccuracy(rest.find(({ tag }) => tag === derTag.sequence)),
    nonce: nonce && derInteger(nonce, 'nonce'),
  }
}

/** In microseconds: seconds, then [0] milliseconds and [1] microseconds of 1 to 999. */
function readAccuracy(accuracy: DerElement | undefined): number {
  if (accuracy === undefined) return 0
  const units = new Map([
    [derTag.integer as number, 1_000_000],
    [0x80, 1_000],
    [0x81, 1],
  ])
  return derParts(accuracy).reduce((sum, part) => {
    const unit = units.get(part.tag)
    if (unit === undefined) throw new DerError('accuracy: want seconds, milliseconds, microseconds')
    return sum + unit * Number(derInteger({ ...part, tag: derTag.integer }, 'accuracy'))
  }, 0)
}

function parseSigner(element: DerElement): TokenSigner {
  const [, sid, digest, signed, algorithm, signature] = derParts(expectDer(element, derTag.sequence, 'signer'))
  const attributesElement = expectDer(signed, 0xa0, 'signed attributes')
  const attributesBytes = Uint8Array.from(attributesElement.raw)
  attributesBytes[0] = derTag.set
  return {
    id: readSignerId(sid),
    digestAlgorithm: parseAlgorithm(digest, 'digest algorithm').oid,
    signatureAlgorithm: parseAlgorithm(algorithm, 'signature algorithm'),
    signature: derOctets(signature, 'signature'),
    attributesBytes,
    attributes: readAttributes(attributesElement),
  }
}

function readSignerId(sid: DerElement | undefined): TokenSigner['id'] {
  if (sid?.tag === 0x80) return { keyId: sid.content }
  const [issuer, serialNumber] = derParts(expectDer(sid, derTag.sequence, 'signer'))
  const name = expectDer(issuer, derTag.sequence, 'issuer of the signer')
  return { issuer: name.raw, serialNumber: derInteger(serialNumber, 'serial number of the signer') }
}

function readAttributes(element: DerElement): ReadonlyMap<string, DerElement> {
  const attributes = new Map<string, DerElement>()
  for (const attribute of derParts(element)) {
    const [type, values] = derParts(expectDer(attribute, derTag.sequence, 'signed attribute'))
    const oid = derOid(type, 'signed attribute')
    const [value, ...others] = derParts(expectDer(values, derTag.set, 'signed attribute'))
    if (value === undefined || others.length > 0) throw new DerError(`signed attribute ${oid}: want one value`)
    if (attributes.has(oid)) throw new DerError(`signed attribute ${oid} comes twice`)
    attributes.set(oid, value)
  }
  return attributes
}

function describeDetail(detail: DerElement): readonly string[] {
  if (detail.tag === derTag.sequence) {
    return derParts(detail).map(({ content }) => JSON.stringify(Buffer.from(content).toString('utf8').slice(0, 200)))
  }
  if (detail.tag !== derTag.bitString) return []
  const [, ...bytes] = detail.content
  const bits = bytes.flatMap((byte, i) =>
    [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => byte & (0x80 >> bit)).map((bit) => 8 * i + bit),
  )
  return bits.map((bit) => failures[bit] ?? `failure ${bit}`)
}
