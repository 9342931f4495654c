/** Inputs that are nearly right, and how many of them are tried. */
import fc from 'fast-check'

/**
 * Runs of a property: some in `npm test`, many where `DENDROLOG_TEST_FUZZ_RUNS` says so (`.ci/run`). The seed of a run that
 * found something stands in its failure; `DENDROLOG_TEST_FUZZ_SEED` goes that way again.
 */
const runs = Number(process.env.DENDROLOG_TEST_FUZZ_RUNS ?? 150)
const seed = Number(process.env.DENDROLOG_TEST_FUZZ_SEED ?? Date.now() % 2 ** 31)
console.log(`fuzz: ${runs} runs of each property, seed ${seed}`)

export const fuzzing: { readonly numRuns: number; readonly seed: number } = { numRuns: runs, seed }

type Change =
  | { readonly kind: 'flip'; readonly at: number; readonly bit: number }
  | { readonly kind: 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'cut' | 'truncate' | 'double'; readonly at: number; readonly length: number }

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: fc.nat(), bit: fc.nat(7) }),
  fc.record({
    kind: fc.constant('insert' as const),
    at: fc.nat(),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 6 }),
  }),
  fc.record({
    kind: fc.constantFrom('cut' as const, 'truncate' as const, 'double' as const),
    at: fc.nat(),
    length: fc.nat(40),
  }),
)

/** Any bytes, valid inputs, and these with some of their bits, bytes or parts changed, lost or doubled. */
export function nearly(valid: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const changed = fc.tuple(valid, fc.array(change, { minLength: 1, maxLength: 4 }))
  return fc.oneof(
    { weight: 6, arbitrary: changed.map(([bytes, changes]) => changes.reduce(applyChange, bytes)) },
    { weight: 1, arbitrary: valid },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  )
}

function applyChange(bytes: Uint8Array, change: Change): Uint8Array {
  const at = change.at % (bytes.length + 1)
  switch (change.kind) {
    case 'flip':
      return bytes.map((byte, i) => (i === at ? byte ^ (1 << change.bit) : byte))
    case 'insert':
      return joined(bytes.subarray(0, at), change.bytes, bytes.subarray(at))
    case 'cut':
      return joined(bytes.subarray(0, at), bytes.subarray(at + change.length))
    case 'truncate':
      return bytes.slice(0, at)
    case 'double':
      return joined(bytes.subarray(0, at + change.length), bytes.subarray(at))
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}
