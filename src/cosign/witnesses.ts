import { encodeUtf8 } from '../../tlog/bytes.ts'
import { type CosignatureCheck, cosignatureTime, cosignatureVerifier } from '../../tlog/cosignature.ts'
import { TlogError } from '../../tlog/errors.ts'
import {
  formatSignatureLine,
  mergeSignatures,
  type NoteSignature,
  type NoteVerifier,
  parseNote,
  parseSignatureLines,
} from '../../tlog/note.ts'
import { formatKeyId, formatVkey, parseVkey } from '../../tlog/note-key.ts'
import { isQuorum, type PolicyWitness, parsePolicy, type WitnessPolicy } from '../../tlog/witness-policy.ts'

/** A witness of the policy. */
export type KnownWitness = {
  /** The policy's name for it. */
  readonly name: string
  readonly vkey: string
  readonly verifier: NoteVerifier
}

/** Witnesses that are asked together: one party with several keys. */
export type AskedWitnesses = { readonly url: URL; readonly witnesses: readonly KnownWitness[] }

/** Cosignatures of a checkpoint that hold. */
export type HeldCosignatures = {
  /** As they stand behind its own, each ended by LF. */
  readonly lines: string
  readonly isQuorum: boolean
  readonly cosigned: readonly Cosigned[]
}

/** A cosignature that holds. `timeS`: POSIX seconds by the witness's clock. */
export type Cosigned = { readonly witness: string; readonly timeS: number | undefined }

/** A policy as a log uses it: whom to ask, and when a checkpoint of its own is witnessed. */
export class Witnesses {
  readonly #policy: WitnessPolicy
  readonly known: readonly KnownWitness[]
  readonly #verifiers: readonly NoteVerifier[]
  readonly #byPair: ReadonlyMap<string, KnownWitness>

  private constructor(policy: WitnessPolicy, known: readonly KnownWitness[]) {
    this.#policy = policy
    this.known = known
    this.#verifiers = known.map(({ verifier }) => verifier)
    this.#byPair = new Map(known.map((witness) => [pairOf(witness.verifier), witness]))
  }

  /**
   * Reads a policy file for the log of the verifier key `vkey`. Errors: `malformed-policy` where it is none, or one by
   * which no checkpoint of this log could be witnessed.
   */
  static parse(file: Uint8Array, vkey: string, check: CosignatureCheck): Witnesses {
    const policy = parsePolicy(file)
    const { logs, witnesses } = policy
    if (logs.length > 0 && !logs.some(({ key }) => formatVkey(key) === vkey)) {
      throw new TlogError('malformed-policy', `policy: of other logs than ${vkey}`)
    }
    const own = witnesses.find(({ key }) => key.name === parseVkey(vkey).name)
    if (own !== undefined) throw new TlogError('malformed-policy', `policy: witness ${own.name} has the log's own name`)
    if (witnesses.length === 0) throw new TlogError('malformed-policy', 'policy: no witness')
    return new Witnesses(policy, witnesses.map(knownWitness(check)))
  }

  /** Whether the policy wants cosignatures at all: with `quorum none` it does not. */
  get hasQuorum(): boolean {
    return this.#policy.quorum !== undefined
  }

  /** By URL, in the order of the policy. Witnesses without one are not asked. */
  get asked(): readonly AskedWitnesses[] {
    const byUrl = new Map<string, KnownWitness[]>()
    this.#policy.witnesses.forEach(({ url }, i) => {
      if (url === undefined) return
      byUrl.set(url, [...(byUrl.get(url) ?? []), this.known[i] as KnownWitness])
    })
    return [...byUrl].map(([url, witnesses]) => ({ url: new URL(url), witnesses }))
  }

  /** Whether these, which hold, are the quorum. */
  areQuorum(signatures: readonly NoteSignature[]): boolean {
    const names = signatures.map((signature) => this.#byPair.get(pairOf(signature))?.name)
    return isQuorum(this.#policy, new Set(names.filter((name) => name !== undefined)))
  }

  /** What is wrong with a stored line of a witness; undefined where it holds, or its key is not of the policy (any more). */
  findFault(note: string, line: string): string | undefined {
    const [signature] = readLine(line)
    if (signature === undefined) return 'is no signature line'
    if (!this.#byPair.has(pairOf(signature)) || this.hold(note, [line]).cosigned.length > 0) return undefined
    return `the cosignature of ${pairOf(signature)} is not of this checkpoint`
  }

  /**
   * Of `lines`, as they were stored or answered, those that hold for a checkpoint of ours, each key once, the policy's
   * order kept. What is wrong is left out: one bad line would make the note unreadable to whoever knows its key.
   */
  hold(note: string, lines: readonly string[]): HeldCosignatures {
    const { text } = parseNote(encodeUtf8(note))
    const { signatures } = mergeSignatures({ text, signatures: [] }, lines.flatMap(readLine), this.#verifiers)
    const known = signatures.filter((signature) => this.#byPair.has(pairOf(signature)))
    const cosigned = known.map((signature) => ({
      witness: this.#byPair.get(pairOf(signature))?.name ?? '',
      timeS: cosignatureTime(signature),
    }))
    return { lines: known.map(formatSignatureLine).join(''), isQuorum: this.areQuorum(known), cosigned }
  }
}

/** Key name and key ID as in the verifier key. */
export function pairOf({ name, keyId }: Pick<NoteVerifier, 'name' | 'keyId'>): string {
  return `${name}+${formatKeyId(keyId)}`
}

function knownWitness(check: CosignatureCheck): (witness: PolicyWitness) => KnownWitness {
  return ({ name, key, url }) => {
    if (url !== undefined) checkUrl(name, url)
    return { name, vkey: formatVkey(key), verifier: cosignatureVerifier(key, check) }
  }
}

function checkUrl(name: string, text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url !== undefined && (url.protocol === 'https:' || url.protocol === 'http:')) return
  throw new TlogError('malformed-policy', `policy: witness ${name}: want an http:// or https:// URL`)
}

function readLine(line: string): readonly NoteSignature[] {
  try {
    return parseSignatureLines(`${line}\n`)
  } catch (error) {
    if (error instanceof TlogError) return []
    throw error
  }
}
