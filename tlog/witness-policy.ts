import { decodeUtf8, formatHex } from './bytes.ts'
import { parseDecimal } from './coords.ts'
import { TlogError } from './errors.ts'
import { cosignatureKeyType, ed25519KeyType, mlDsaKeyType, parseVkey, type VerifierKey } from './note-key.ts'

// Policies (C2SP tlog-policy): which logs are meant, which witnesses are known, and which of them must have cosigned.

export type PolicyLog = { readonly key: VerifierKey; readonly url: string | undefined }

export type PolicyWitness = {
  readonly name: string
  readonly key: VerifierKey
  /** Where it takes checkpoints: its submission prefix. */
  readonly url: string | undefined
}

/** Satisfied by `threshold` of its members, which are witnesses and groups. */
export type PolicyGroup = { readonly name: string; readonly threshold: number; readonly members: readonly string[] }

export type WitnessPolicy = {
  /** None: logs are known from elsewhere. */
  readonly logs: readonly PolicyLog[]
  readonly witnesses: readonly PolicyWitness[]
  /** Members stand before their group. */
  readonly groups: readonly PolicyGroup[]
  /** A witness or group; undefined where no cosignature is wanted. */
  readonly quorum: string | undefined
}

export const policyBytesMax = 262_144

const noQuorum = 'none'
const logKeyTypes: readonly number[] = [ed25519KeyType, mlDsaKeyType]
const witnessKeyTypes: readonly number[] = [cosignatureKeyType, mlDsaKeyType]

/** Reads a policy file, at most 256 KiB of UTF-8; `malformed-policy` with the line and what is wrong there. */
export function parsePolicy(bytes: Uint8Array): WitnessPolicy {
  const parser = new PolicyParser()
  const lines = decodePolicy(bytes).split('\n')
  for (const [i, line] of lines.entries()) {
    try {
      parser.take(line)
    } catch (cause) {
      if (!(cause instanceof TlogError)) throw cause
      throw new TlogError('malformed-policy', `policy, line ${i + 1}: ${cause.message}`, { cause })
    }
  }
  return parser.end()
}

/** Whether valid cosignatures of these witnesses are the quorum. `cosigned`: their names in the policy. */
export function isQuorum(policy: WitnessPolicy, cosigned: ReadonlySet<string>): boolean {
  if (policy.quorum === undefined) return true
  const satisfied = new Set(policy.witnesses.map(({ name }) => name).filter((name) => cosigned.has(name)))
  for (const { name, threshold, members } of policy.groups) {
    if (members.filter((member) => satisfied.has(member)).length >= threshold) satisfied.add(name)
  }
  return satisfied.has(policy.quorum)
}

class PolicyParser {
  readonly #logs: PolicyLog[] = []
  readonly #witnesses: PolicyWitness[] = []
  readonly #groups: PolicyGroup[] = []
  readonly #names = new Set<string>()
  readonly #members = new Set<string>()
  readonly #keys = { log: new Set<string>(), witness: new Set<string>() }
  #quorum: string | undefined

  take(line: string): void {
    const items = line.split(/[ \t]+/).filter((item) => item !== '')
    const [keyword, ...rest] = items
    if (keyword === undefined || keyword.startsWith('#')) return
    if (keyword === 'log') this.#takeLog(rest)
    else if (keyword === 'witness') this.#takeWitness(rest)
    else if (keyword === 'group') this.#takeGroup(rest)
    else if (keyword === 'quorum') this.#takeQuorum(rest)
    else throw malformed(`want log, witness, group or quorum, got ${quote(keyword)}`)
  }

  end(): WitnessPolicy {
    if (this.#quorum === undefined) throw malformed('policy: no quorum')
    return {
      ...{ logs: this.#logs, witnesses: this.#witnesses, groups: this.#groups },
      quorum: this.#quorum === noQuorum ? undefined : this.#quorum,
    }
  }

  #takeLog([vkey, url, ...surplus]: readonly string[]): void {
    if (vkey === undefined || surplus.length > 0) throw malformed('want: log <vkey> [<url>]')
    this.#logs.push({ key: this.#takeKey('log', vkey, logKeyTypes), url })
  }

  #takeWitness([name, vkey, url, ...surplus]: readonly string[]): void {
    if (name === undefined || vkey === undefined || surplus.length > 0) {
      throw malformed('want: witness <name> <vkey> [<url>]')
    }
    this.#define(name)
    this.#witnesses.push({ name, key: this.#takeKey('witness', vkey, witnessKeyTypes), url })
  }

  #takeGroup([name, wanted, ...members]: readonly string[]): void {
    if (name === undefined || wanted === undefined) throw malformed('want: group <name> all|any|<k> <member>…')
    for (const member of members) {
      if (!this.#names.has(member)) throw malformed(`${quote(member)} is not defined above`)
      if (this.#members.has(member)) throw malformed(`${quote(member)} is a member already`)
      this.#members.add(member)
    }
    const threshold = thresholdOf(wanted, members.length)
    if (threshold < 1 || threshold > members.length) throw malformed(`${threshold} of ${members.length} members`)
    this.#define(name)
    this.#groups.push({ name, threshold, members })
  }

  #takeQuorum([name, ...surplus]: readonly string[]): void {
    if (name === undefined || surplus.length > 0) throw malformed('want: quorum <name>|none')
    if (this.#quorum !== undefined) throw malformed('a second quorum')
    if (name !== noQuorum && !this.#names.has(name)) throw malformed(`${quote(name)} is not defined above`)
    this.#quorum = name
  }

  #define(name: string): void {
    if (name === noQuorum) throw malformed(`${quote(name)} is no name`)
    if (this.#names.has(name)) throw malformed(`${quote(name)} is defined already`)
    this.#names.add(name)
  }

  // One key under two names would count twice.
  #takeKey(of: 'log' | 'witness', vkey: string, types: readonly number[]): VerifierKey {
    const key = parseVkey(vkey)
    if (!types.includes(key.type)) throw malformed(`key of type ${key.type} is none of a ${of}`)
    const publicKey = formatHex(key.publicKey)
    if (this.#keys[of].has(publicKey)) throw malformed(`the key of another ${of}: ${quote(vkey)}`)
    this.#keys[of].add(publicKey)
    return key
  }
}

function thresholdOf(wanted: string, members: number): number {
  if (wanted === 'any') return 1
  return wanted === 'all' ? members : parseDecimal(wanted, 'threshold')
}

function decodePolicy(bytes: Uint8Array): string {
  if (bytes.length > policyBytesMax) throw malformed(`policy: ${bytes.length} bytes, limit ${policyBytesMax}`)
  const bad = bytes.findIndex((byte) => (byte < 0x20 && byte !== 0x09 && byte !== 0x0a) || byte === 0x7f)
  if (bad >= 0) throw malformed(`policy: control character at byte ${bad}`)
  try {
    return decodeUtf8(bytes)
  } catch (cause) {
    throw new TlogError('malformed-policy', 'policy: not UTF-8', { cause })
  }
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 80))
}

function malformed(reason: string): TlogError {
  return new TlogError('malformed-policy', reason)
}
