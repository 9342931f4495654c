import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { addCheckpointBytesMax, formatAddCheckpoint, parseAddCheckpoint } from '../../tlog/add-checkpoint.ts'
import { decodeUtf8, encodeUtf8 } from '../../tlog/bytes.ts'
import { parseNote } from '../../tlog/note.ts'

type Step = { why: string; request: string; status: number; witnessSizeBefore: number }

const path = new URL('../vectors/checkpoint/witness-add-checkpoint.json', import.meta.url)
const { steps } = JSON.parse(readFileSync(path, 'utf8')) as { steps: Step[] }

/** Refused for its form alone: what is left of 400 is about what it says. */
const isMalformed = ({ status, why }: Step): boolean => status === 400 && why !== 'old greater than checkpoint size'

describe('a request', () => {
  test('there are as many as the vectors say', () => {
    expect([steps.length, steps.filter(isMalformed).length]).toEqual([26, 8])
  })

  test.each(steps.filter((step) => !isMalformed(step)))('is read and written as it was: $why', ({ request }) => {
    const parsed = parseAddCheckpoint(encodeUtf8(request))
    expect(decodeUtf8(formatAddCheckpoint(parsed))).toBe(request)
    expect(parseNote(parsed.note).signatures.length).toBeGreaterThan(0)
  })

  test.each(steps.filter(isMalformed))('is refused: $why', ({ request }) => {
    expect(() => parseNote(parseAddCheckpoint(encodeUtf8(request)).note)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^malformed-(request|note)$/) }),
    )
  })

  test.each([
    ['that is too long', new Uint8Array(addCheckpointBytesMax + 1).fill(0x41)],
    ['that is empty', new Uint8Array(0)],
    ['that is no UTF-8 before the checkpoint', Uint8Array.of(0xff, 0x0a, 0x0a)],
    ['of a size beyond 2^53-1', encodeUtf8('old 9007199254740992\n\nx')],
    ['with an empty hash', encodeUtf8('old 1\n\n\nx')],
  ])('%s is refused', (_, body) => {
    expect(() => parseNote(parseAddCheckpoint(body).note)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^malformed-(request|note)$/) }),
    )
  })
})
