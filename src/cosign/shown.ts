import { encodeUtf8 } from '../../tlog/bytes.ts'
import { type Checkpoint, openCheckpoint } from '../../tlog/checkpoint.ts'
import { TlogError } from '../../tlog/errors.ts'
import { type NoteVerifier, noteBytesMax } from '../../tlog/note.ts'
import { requestOutside } from '../ops/outside-request.ts'
import { monitoringId } from '../witness/witness.ts'

/** What a witness shows of a log, under the log's own signature: nobody else can have made it. */
export type ShownCheckpoint = { readonly checkpoint: Checkpoint; readonly note: string }

export type WitnessedLog = { readonly origin: string; readonly verifier: NoteVerifier }

/**
 * The checkpoint that a witness cosigned last (C2SP tlog-witness, monitoring), where it shows it under its submission
 * prefix. Undefined where it shows none that the log signed; rejects where it cannot be asked.
 */
export async function readShown(
  prefix: URL,
  { origin, verifier }: WitnessedLog,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ShownCheckpoint | undefined> {
  const url = new URL(prefix)
  url.pathname = `${prefix.pathname.replace(/\/$/, '')}/${monitoringId(origin)}/checkpoint`
  const request = { method: 'GET', bytesMax: noteBytesMax } as const
  const { status, text } = await requestOutside(url, request, timeoutMs, signal)
  if (status !== 200) return undefined
  try {
    return { checkpoint: openCheckpoint(encodeUtf8(text), origin, [verifier]).checkpoint, note: text }
  } catch (error) {
    if (error instanceof TlogError) return undefined
    throw error
  }
}
