import type { SweptEntry } from '../../client/sweep-entries.ts'
import { readGivenFile } from '../../ops/given-file.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { watchedEntry } from '../../rules/entry.ts'
import { type GatheredMatches, gatherMatches } from '../../rules/gather-matches.ts'
import { openRules, type Rules } from '../../rules/open-rules.ts'
import { rulesBytesMax } from '../../rules/rules-file.ts'
import { writeSecretFile } from '../../store/secret-file.ts'
import { describeError } from '../describe-error.ts'
import { tidyState } from './state.ts'

const stateBytesMax = 2 * 67_108_864

/** What rules remember, and of how many entries. */
type RulesState = { readonly position: number; readonly state: string | undefined }

/**
 * Watch rules over what a monitor reads. What they remember is in a file beside the monitor's state, which is smaller and
 * written first and more often: after a crash they take entries again, and nothing is told again.
 */
export class RuleWatch {
  readonly #rules: Rules
  readonly #stateFile: string
  readonly #origin: string
  readonly #onTrouble: (reason: string) => void
  readonly #forgetting = new Set<string>()
  #position: number
  #savedPosition: number

  private constructor(
    rules: Rules,
    stateFile: string,
    origin: string,
    position: number,
    onTrouble: (reason: string) => void,
  ) {
    this.#rules = rules
    this.#stateFile = stateFile
    this.#origin = origin
    this.#position = position
    this.#savedPosition = position
    this.#onTrouble = onTrouble
  }

  /** Rejects with the file and the place of what cannot be used. */
  static async open(
    rulesFile: string,
    monitorStateFile: string,
    origin: string,
    onTrouble: (reason: string) => void,
  ): Promise<RuleWatch> {
    const stateFile = `${monitorStateFile}.rules`
    await tidyState(stateFile)
    const { position, state } = await readState(stateFile, origin)
    const rules = await openRulesFile(rulesFile, state)
    return new RuleWatch(rules, stateFile, origin, position ?? 0, onTrouble)
  }

  /** How many entries they know: those that follow have to come, read before or not. */
  get position(): number {
    return this.#position
  }

  /** What has to be told of these, which are in order, but for those that were told: the first `toldSize` of the log. */
  take(entries: readonly SweptEntry[], toldSize: number): readonly GatheredMatches[] {
    const fresh = entries.filter(({ fields }) => fields.sequenceNumber > this.#position)
    const matches = this.#rules.take(
      fresh.map(({ fields, payload }) => watchedEntry(fields, payload, this.#rules.pointers)),
    )
    this.#position = fresh.at(-1)?.fields.sequenceNumber ?? this.#position
    this.#noteForgetting()
    return gatherMatches(matches.filter(({ entry }) => entry.sequenceNumber > toldSize))
  }

  /** After the monitor has remembered what was told. */
  async save(): Promise<void> {
    if (this.#position === this.#savedPosition) return
    const position = this.#position
    const members = { format: 1, origin: this.#origin, position, state: this.#rules.formatState() }
    await writeSecretFile(this.#stateFile, `${JSON.stringify(members)}\n`)
    this.#savedPosition = position
  }

  #noteForgetting(): void {
    for (const rule of this.#rules.forgotten().keys()) {
      if (this.#forgetting.has(rule)) continue
      this.#forgetting.add(rule)
      this.#onTrouble(`the rule ${rule} forgets what is oldest: there is more than it can keep`)
    }
  }
}

async function openRulesFile(file: string, state: string | undefined): Promise<Rules> {
  try {
    return openRules(await readGivenFile(file, rulesBytesMax), { hash: nativeSha256, state })
  } catch (cause) {
    throw new Error(`--rules ${file}: ${describeError(cause)}`, { cause })
  }
}

/** Nothing where there is no such file. */
async function readState(file: string, origin: string): Promise<Partial<RulesState>> {
  const bytes = await readGivenFile(file, stateBytesMax).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (bytes === undefined) return {}
  const found = parseState(bytes)
  if (found === undefined) throw new Error(`${file}: is no state of watch rules; move it away, and they begin anew`)
  if (found.origin !== origin)
    throw new Error(`${file}: is about the log ${JSON.stringify(found.origin)}, not this one`)
  return found
}

function parseState(bytes: Buffer): (RulesState & { readonly origin: string }) | undefined {
  try {
    const members = Object(JSON.parse(bytes.toString('utf8'))) as Readonly<Record<string, unknown>>
    const { format, origin, position, state } = members
    if (format !== 1 || typeof origin !== 'string' || typeof state !== 'string') return undefined
    return Number.isSafeInteger(position) ? { origin, position: position as number, state } : undefined
  } catch {
    return undefined
  }
}
