import { setTimeout as sleep } from 'node:timers/promises'
import type { NoteSignature } from '../../tlog/note.ts'
import type { Asked } from './client.ts'

/** What witnesses are asked to cosign. */
export type OfferedCheckpoint = { readonly number: number; readonly treeSize: number; readonly note: string }

/** A witness, of one key or several. */
export type Cosigner<Offered extends OfferedCheckpoint> = {
  /** As the policy has it. */
  readonly name: string
  /** Rejects where no proof can be made. */
  readonly ask: (checkpoint: Offered, signal: AbortSignal) => Promise<Asked>
}

/** Everything that was gathered for a checkpoint. */
export type Gathered<Offered extends OfferedCheckpoint> = {
  readonly checkpoint: Offered
  readonly signatures: readonly NoteSignature[]
}

export type GatheringOptions<Offered extends OfferedCheckpoint> = {
  readonly cosigners: readonly Cosigner<Offered>[]
  readonly isQuorum: (gathered: Gathered<Offered>) => boolean
  /** Makes them durable before anybody sees them. */
  readonly store: (checkpoint: Offered, signatures: readonly NoteSignature[]) => Promise<void>
  /** Told after each that cosigned; must not throw. */
  readonly onGathered: (gathered: Gathered<Offered>, isQuorum: boolean) => void
  /** Told of every answer, and of what kept from asking or storing; must not throw. */
  readonly onAsked: (name: string, asked: Asked, seconds: number, checkpoint: Offered) => void
  readonly timing?: Partial<GatheringTiming>
}

/** Milliseconds: a cosigner that did not cosign rests for the first, and twice as long each time. */
export type GatheringTiming = { readonly restMs: number; readonly restMaxMs: number }

const defaultTiming: GatheringTiming = { restMs: 500, restMaxMs: 30_000 }

/** A checkpoint for which cosignatures are gathered. */
type Round<Offered extends OfferedCheckpoint> = {
  readonly checkpoint: Offered
  signatures: readonly NoteSignature[]
  isQuorum: boolean
}

type Asking<Offered extends OfferedCheckpoint> = {
  readonly cosigner: Cosigner<Offered>
  done: Round<Offered> | undefined
  failures: number
  isResting: boolean
}

/**
 * Gathers cosignatures in rounds: all are asked for one checkpoint, and the newest is next when its quorum is there, or
 * nobody is left who could be hoped for now. If each took the newest whenever it was free, slow ones might never meet on
 * one. Who is late is asked for what the others are at.
 */
export class Gathering<Offered extends OfferedCheckpoint> {
  readonly #options: GatheringOptions<Offered>
  readonly #timing: GatheringTiming
  readonly #askings: readonly Asking<Offered>[]
  #newest: Offered | undefined
  #round: Round<Offered> | undefined
  #sleepers: (() => void)[] = []

  constructor(options: GatheringOptions<Offered>) {
    this.#options = options
    this.#timing = { ...defaultTiming, ...options.timing }
    this.#askings = options.cosigners.map((cosigner) => ({ cosigner, done: undefined, failures: 0, isResting: false }))
  }

  /** What is offered later counts, whatever became of what was offered before. */
  offer(checkpoint: Offered): void {
    this.#newest = checkpoint
    this.#advance()
  }

  /** Gathers until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const wake = (): void => this.#wake()
    signal.addEventListener('abort', wake, { once: true })
    await Promise.all(this.#askings.map((asking) => this.#askAll(asking, signal)))
    signal.removeEventListener('abort', wake)
  }

  async #askAll(asking: Asking<Offered>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const round = this.#round
      if (round === undefined || asking.done === round) {
        await new Promise<void>((resolve) => this.#sleepers.push(resolve))
      } else if (await this.#ask(asking.cosigner, round, signal)) {
        asking.done = round
        asking.failures = 0
        this.#advance()
      } else if (!signal.aborted) {
        await this.#rest(asking, signal)
      }
    }
  }

  /** Whether it cosigned, and that is durable. */
  async #ask({ name, ask }: Cosigner<Offered>, round: Round<Offered>, signal: AbortSignal): Promise<boolean> {
    const { store, onAsked } = this.#options
    const { checkpoint } = round
    const startedAt = performance.now()
    const tell = (asked: Asked): void => onAsked(name, asked, (performance.now() - startedAt) / 1_000, checkpoint)
    try {
      const asked = await ask(checkpoint, signal)
      if (signal.aborted && asked.kind !== 'cosigned') return false
      if (asked.kind === 'cosigned') await store(checkpoint, asked.signatures)
      tell(asked)
      if (asked.kind === 'cosigned') this.#take(round, asked.signatures)
      return asked.kind === 'cosigned'
    } catch (error) {
      if (!signal.aborted) tell({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) })
      return false
    }
  }

  #take(round: Round<Offered>, signatures: readonly NoteSignature[]): void {
    const { isQuorum, onGathered } = this.#options
    round.signatures = [...round.signatures, ...signatures]
    const gathered = { checkpoint: round.checkpoint, signatures: round.signatures }
    round.isQuorum = isQuorum(gathered)
    onGathered(gathered, round.isQuorum)
  }

  async #rest(asking: Asking<Offered>, signal: AbortSignal): Promise<void> {
    const { restMs, restMaxMs } = this.#timing
    const ms = Math.min(restMaxMs, restMs * 2 ** asking.failures)
    asking.failures++
    asking.isResting = true
    this.#advance()
    // Not all logs of a witness that was away come back at once.
    await sleep(ms * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => {})
    asking.isResting = false
  }

  #advance(): void {
    const [newest, round] = [this.#newest, this.#round]
    if (newest === undefined || newest === round?.checkpoint) return
    const mayEnd =
      round === undefined || round.isQuorum || this.#askings.every(({ done, isResting }) => isResting || done === round)
    if (!mayEnd) return
    this.#round = { checkpoint: newest, signatures: [], isQuorum: false }
    this.#wake()
  }

  #wake(): void {
    for (const resolve of this.#sleepers.splice(0)) resolve()
  }
}
