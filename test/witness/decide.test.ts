import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { type CosignedHead, decideAddCheckpoint, type WitnessedLog } from '../../src/witness/decide.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { parseCheckpoint } from '../../tlog/checkpoint.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'

type Step = {
  why: string
  witnessSizeBefore: number
  request: string
  status: number
  response?: string
  witnessSizeAfter: number
}

const path = new URL('../vectors/checkpoint/witness-add-checkpoint.json', import.meta.url)
const vectors = JSON.parse(readFileSync(path, 'utf8')) as { logVkey: string; steps: Step[] }
const origin = 'log.example.com/tlog'
const verifiers = [textVerifier(parseVkey(vectors.logVkey), nodeSignatureCheck)]

const checkpointOf = (request: string) => {
  const at = request.indexOf('\n\n') + 2
  return parseCheckpoint(request.slice(at, request.indexOf('\n\n', at) + 1))
}

/** What those that were cosigned in the vectors have as roots. */
const heads = new Map<number, CosignedHead>(
  vectors.steps
    .filter(({ status }) => status === 200)
    .map(({ request }) => checkpointOf(request))
    .map(({ size, root }) => [size, { size, root }]),
)

function logAt(size: number): WitnessedLog {
  return { verifiers, cosigned: size === 0 ? undefined : heads.get(size) }
}

describe('a witness', () => {
  test.each(vectors.steps)('of size $witnessSizeBefore answers $status: $why', (step) => {
    const { witnessSizeBefore, request, status, response, witnessSizeAfter } = step
    const decision = decideAddCheckpoint(
      encodeUtf8(request),
      (name) => (name === origin ? logAt(witnessSizeBefore) : undefined),
      nativeSha256,
    )
    if (decision.kind === 'extends') {
      expect([status, decision.checkpoint.size]).toEqual([200, witnessSizeAfter])
      expect(request).toContain(decision.text)
      return
    }
    expect(decision).toMatchObject({ status, reason: expect.stringMatching(/\w/) })
    if (status === 409) expect(`${decision.knownSize}\n`).toBe(response)
  })

  test('at size 0 that was cosigned is asked for with the same empty root', () => {
    const empty = vectors.steps[0]?.request ?? ''
    const { size, root } = checkpointOf(empty)
    const log = { verifiers, cosigned: { size, root } }
    expect(decideAddCheckpoint(encodeUtf8(empty), () => log, nativeSha256)).toMatchObject({ kind: 'extends' })
    expect(
      decideAddCheckpoint(
        encodeUtf8(empty.replace('old 0\n', 'old 0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n')),
        () => log,
        nativeSha256,
      ),
    ).toMatchObject({ status: 422 })
  })
})
