import { encodeUtf8, equalBytes, formatHex } from '../../tlog/bytes.ts'
import { parseCheckpoint } from '../../tlog/checkpoint.ts'
import { asTreeSize, type TreeSize } from '../../tlog/coords.ts'
import type { Hash } from '../../tlog/hash.ts'
import { parseNote } from '../../tlog/note.ts'
import { type Asked, WitnessClient } from './client.ts'
import type { Cosigner, OfferedCheckpoint } from './gathering.ts'
import { readShown, type ShownCheckpoint, type WitnessedLog } from './shown.ts'
import type { AskedWitnesses } from './witnesses.ts'

/**
 * A witness knows another history of the log than the log does. `proven`: it shows a checkpoint that the log itself
 * signed and that is not of this history; without, there is its word only.
 */
export type OtherHistory = {
  readonly kind: 'ROLLBACK' | 'FORKED' | 'WITNESS_REFUSED'
  readonly witness: string
  readonly detail: string
  readonly evidence: Readonly<Record<string, unknown>>
}

export type AskedWitnessOptions<Offered extends OfferedCheckpoint> = {
  readonly log: WitnessedLog
  readonly timeoutMs: number
  readonly skewMaxMs: number
  readonly nowMs: () => number
  readonly prove: (from: TreeSize, checkpoint: Offered) => Promise<readonly Hash[]>
  /** Told each time; must not throw. */
  readonly onOtherHistory: (found: OtherHistory) => void
}

/** Notes and requests are kept as evidence; a proof is 63 lines. */
const evidenceCharactersMax = 8_192

/** A witness under one URL. */
export class AskedWitness<Offered extends OfferedCheckpoint> implements Cosigner<Offered> {
  readonly name: string
  readonly #url: URL
  readonly #options: AskedWitnessOptions<Offered>
  readonly #client: WitnessClient

  constructor({ url, witnesses }: AskedWitnesses, options: AskedWitnessOptions<Offered>) {
    this.name = witnesses.map(({ name }) => name).join(' and ')
    this.#url = url
    this.#options = options
    const { timeoutMs, skewMaxMs, nowMs } = options
    const verifiers = witnesses.map(({ verifier }) => verifier)
    this.#client = new WitnessClient({ url, verifiers, timeoutMs, skewMaxMs, nowMs })
  }

  /** As `WitnessClient.ask`; where it knows another history, what it shows of that is looked at. */
  readonly ask = async (offered: Offered, signal: AbortSignal): Promise<Asked> => {
    const size = asTreeSize(offered.treeSize)
    const prove = (from: TreeSize): Promise<readonly Hash[]> => this.#options.prove(from, offered)
    const asked = await this.#client.ask({ size, note: encodeUtf8(offered.note), prove }, signal)
    if (asked.kind === 'ahead' || asked.kind === 'conflict') {
      const shown = await this.#readShown(signal)
      this.#options.onOtherHistory(shownHistory(this.name, offered, shown) ?? saidHistory(this.name, offered, asked))
    }
    return asked
  }

  /** What it shows that this log signed, where that is not of the history up to `known`. */
  async findOtherHistory(known: Offered, signal: AbortSignal): Promise<OtherHistory | undefined> {
    return shownHistory(this.name, known, await this.#readShown(signal))
  }

  /** Undefined too where it cannot be asked. */
  async #readShown(signal: AbortSignal): Promise<ShownCheckpoint | undefined> {
    const { log, timeoutMs } = this.#options
    return readShown(this.#url, log, timeoutMs, signal).catch(() => undefined)
  }
}

/** Undefined where what is shown may be the beginning of what is known. */
function shownHistory(
  witness: string,
  { treeSize, note }: OfferedCheckpoint,
  shown: ShownCheckpoint | undefined,
): OtherHistory | undefined {
  if (shown === undefined) return undefined
  const { size, root } = shown.checkpoint
  const evidence = { witness, ours: note, shown: shown.note.slice(0, evidenceCharactersMax) }
  if (size > treeSize) {
    const detail = `witness ${witness} shows a checkpoint of ${size} entries that this log signed; it has ${treeSize}`
    return { kind: 'ROLLBACK', witness, detail, evidence }
  }
  if (size < treeSize || equalBytes(root, parseCheckpoint(parseNote(encodeUtf8(note)).text).root)) return undefined
  const detail = `witness ${witness} shows another checkpoint of ${size} entries that this log signed: root ${formatHex(root)}`
  return { kind: 'FORKED', witness, detail, evidence }
}

function saidHistory(
  witness: string,
  { treeSize, note }: OfferedCheckpoint,
  asked: Asked & { readonly kind: 'ahead' | 'conflict' },
): OtherHistory {
  if (asked.kind === 'ahead') {
    const detail = `witness ${witness} says that it has cosigned ${asked.knownSize} entries of this log, which has ${treeSize}; it shows no checkpoint of them`
    return { kind: 'WITNESS_REFUSED', witness, detail, evidence: { witness, ours: note, knownSize: asked.knownSize } }
  }
  const request = Buffer.from(asked.request).toString('utf8').slice(0, evidenceCharactersMax)
  const detail = `witness ${witness} refuses a checkpoint of ${treeSize} entries as one of another history: ${asked.reason}`
  return { kind: 'WITNESS_REFUSED', witness, detail, evidence: { witness, request, answer: asked.reason } }
}
