import type { Sha256 } from '../../tlog/hash.ts'
import type { Follower, Step } from '../follow.ts'
import type { Schema } from '../store/batch.ts'
import type { Query } from '../store/session.ts'
import { advanceToldRules, beginRuleState, type RuleState, readRuleState, saveRuleState } from '../store/watch-rules.ts'
import { readWatchedEntries } from '../store/watched-entries.ts'
import { valueCharactersMax, type WatchedEntry } from './entry.ts'
import { RulesError } from './json-reader.ts'
import { openRules, type RuleMatch, type Rules } from './open-rules.ts'

export type RuleFollowerOptions = {
  /** Bytes of the rules file, which were read once before. */
  readonly file: Uint8Array
  readonly hash: Sha256
  readonly schema: Schema
  /** Of the login that reads entries. */
  readonly read: Query
  /** Of the login that keeps state. */
  readonly state: Query
  /** Whether this server tells; otherwise another one does. */
  readonly mustTell: () => boolean
  /** Tells of matches, durably. Those of a step that fails then come again. */
  readonly tell: (matches: readonly RuleMatch[]) => Promise<void>
  /** Told of rules that had to forget something, each once. */
  readonly onForgetting: (rule: string) => void
  /** Told of entries that no rule could see: their rows are not there or damaged. The verifier names them. */
  readonly onUnseen: (count: number, from: number, to: number) => void
  /** Told of a state that cannot be read: the rules begin anew there. */
  readonly onStateLost: (error: RulesError) => void
  /** Milliseconds of any clock. */
  readonly nowMs: () => number
  readonly saveEveryMs?: number
}

type Standing = {
  readonly rules: Rules
  /** Up to this entry the rules know the log. */
  position: number
  /** Up to this one matches are told; behind it while entries are read again after a start. */
  told: number
  /** As the database has it. */
  storedTold: number
  savedPosition: number
  savedAtMs: number
}

/** Texts of one step: as many entries as fit, whatever is in them. */
const stepCharactersMax = 16_777_216
const stepEntriesMax = 4_096
const membersCharactersMax = 2_048
const saveEveryDefaultMs = 30_000

/**
 * Looks at new entries by rules. It begins with the newest one. What rules remember is saved now and then: after a start
 * the entries since then are read again, and of those that were told before nothing is told again. Rows are taken as the
 * database has them: whether they are what was signed is the verifier's business.
 */
export class RuleFollower implements Follower {
  readonly name = 'watch rules'
  readonly #options: RuleFollowerOptions
  readonly #forgetting = new Set<string>()
  #file: Uint8Array
  #nextFile: Uint8Array | undefined
  #standing: Standing | undefined

  constructor(options: RuleFollowerOptions) {
    this.#options = options
    this.#file = options.file
  }

  /** From the next step on works by these rules, which were read once before; what has not changed goes on. */
  use(file: Uint8Array): void {
    this.#nextFile = file
  }

  async readPosition(): Promise<number> {
    const { state, schema } = this.#options
    return (await readRuleState(state, schema))?.told ?? 0
  }

  async step(upTo: number): Promise<Step> {
    if (!this.#options.mustTell()) {
      this.#standing = undefined
      return { position: await this.readPosition(), hasWorked: false }
    }
    await this.#change()
    const standing = this.#standing ?? (await this.#open(upTo))
    // What fails leaves the rules ahead of what is told: they begin again from what is saved.
    this.#standing = undefined
    const hasWorked = await this.#stepFrom(standing, upTo)
    this.#standing = standing
    return { position: standing.position, hasWorked }
  }

  /** Saves what the rules remember, for the next start. */
  async close(): Promise<void> {
    const standing = this.#standing
    this.#standing = undefined
    if (standing !== undefined && isUnsaved(standing)) await this.#save(standing)
  }

  async #change(): Promise<void> {
    if (this.#nextFile === undefined) return
    this.#file = this.#nextFile
    this.#nextFile = undefined
    await this.close()
  }

  async #open(upTo: number): Promise<Standing> {
    const { state, schema, nowMs } = this.#options
    let stored = await readRuleState(state, schema)
    if (stored === undefined) {
      await beginRuleState(state, schema, upTo)
      stored = await readRuleState(state, schema)
    }
    if (stored === undefined) throw new Error('the state of the watch rules is not there')
    const { position, told } = stored
    return {
      rules: this.#rulesOf(stored),
      position,
      told,
      storedTold: told,
      savedPosition: position,
      savedAtMs: nowMs(),
    }
  }

  #rulesOf({ state }: RuleState): Rules {
    const { hash, onStateLost } = this.#options
    const file = this.#file
    if (state === '') return openRules(file, { hash })
    try {
      return openRules(file, { hash, state })
    } catch (error) {
      if (!(error instanceof RulesError)) throw error
      onStateLost(error)
      return openRules(file, { hash })
    }
  }

  async #stepFrom(standing: Standing, upTo: number): Promise<boolean> {
    const { tell, nowMs, saveEveryMs = saveEveryDefaultMs } = this.#options
    const { rules, position, told } = standing
    const isAgain = position < told
    const to = Math.min(isAgain ? told : upTo, position + stepEntries(rules))
    if (to > position) {
      const matches = rules.take(await this.#read(rules, position + 1, to))
      standing.position = to
      standing.told = Math.max(told, to)
      if (!isAgain && matches.length > 0) {
        await tell(matches)
        await this.#advance(standing)
      }
      this.#noteForgetting(rules)
    }
    if (isUnsaved(standing) && nowMs() - standing.savedAtMs >= saveEveryMs) await this.#save(standing)
    return to > position
  }

  async #read(rules: Rules, from: number, to: number): Promise<readonly WatchedEntry[]> {
    const { read, schema, onUnseen } = this.#options
    const entries = await readWatchedEntries(read, schema, from, to, rules.pointers, valueCharactersMax)
    const unseen = to - from + 1 - entries.length
    if (unseen > 0) onUnseen(unseen, from, to)
    return entries
  }

  async #advance(standing: Standing): Promise<void> {
    const { state, schema } = this.#options
    if (!(await advanceToldRules(state, schema, standing.storedTold, standing.told))) throw otherServer()
    standing.storedTold = standing.told
  }

  async #save(standing: Standing): Promise<void> {
    const { state, schema, nowMs } = this.#options
    const { storedTold, position, rules } = standing
    if (!(await saveRuleState(state, schema, storedTold, position, rules.formatState()))) throw otherServer()
    standing.storedTold = position
    standing.savedPosition = position
    standing.savedAtMs = nowMs()
  }

  #noteForgetting(rules: Rules): void {
    for (const rule of rules.forgotten().keys()) {
      if (this.#forgetting.has(rule)) continue
      this.#forgetting.add(rule)
      this.#options.onForgetting(rule)
    }
  }
}

/** While entries are read again there is nothing to save: what was told would be forgotten. */
function isUnsaved({ position, savedPosition, told }: Standing): boolean {
  return position > savedPosition && position >= told
}

function stepEntries({ pointers }: Rules): number {
  const charactersMax = membersCharactersMax + pointers.length * valueCharactersMax
  return Math.max(1, Math.min(stepEntriesMax, Math.floor(stepCharactersMax / charactersMax)))
}

function otherServer(): Error {
  return new Error('another server tells of matches of the watch rules')
}
