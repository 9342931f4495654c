import { Encoder } from 'cbor-x'

// Answers in CBOR (RFC 8949) are their JSON, value by value: maps with the same member names, base64 and hex as text, so
// that both have one data model and one schema. Integers are integers: cbor-x writes numbers above 2^32-1 as floats
// unless they are BigInts.

export const cborType = 'application/cbor'

const encoder = new Encoder({ useRecords: false, variableMapSize: true, tagUint8Array: false })
/** Numbers that cbor-x writes as integers. */
const [integersFrom, integersTo] = [-(2 ** 32), 2 ** 32 - 1]

/** CBOR of a JSON text that the server made. */
export function cborOfJson(json: string): Uint8Array<ArrayBuffer> {
  // The encoder goes on to use what it wrote into.
  return new Uint8Array(encoder.encode(withBigInts(JSON.parse(json))))
}

/** Changes the value in place: a reviver doubled the time of all. Its depth is that of a payload and a little more. */
function withBigInts(value: unknown): unknown {
  if (typeof value === 'number') return isLargeInteger(value) ? BigInt(value) : value
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = withBigInts(value[i])
  } else if (typeof value === 'object' && value !== null) {
    const members = value as Record<string, unknown>
    for (const name in members) members[name] = withBigInts(members[name])
  }
  return value
}

/** Beyond 2^53-1 a number of a payload stays the double that it is. */
function isLargeInteger(n: number): boolean {
  return (n < integersFrom || n > integersTo) && Number.isSafeInteger(n)
}

/** The same answer in CBOR; caches must not give it to who asked for JSON. */
export async function answerInCbor(answer: Response): Promise<Response> {
  const headers = new Headers(answer.headers)
  headers.set('content-type', cborType)
  headers.append('vary', 'Accept')
  return new Response(cborOfJson(await answer.text()), { status: answer.status, headers })
}
