// Tries watch rules on every entry of a log, each checked against the signed tree before, and remembers in one file how
// far it is and what the rules know. It needs the token of an auditor.
import { readFile, rename, writeFile } from 'node:fs/promises'
import { type Check, checkOnce, openLogClient, type SweptEntry } from 'dendrolog/client'
import { describeMatch, openRules, watchedEntry } from 'dendrolog/rules'
import { nobleSha256 } from 'dendrolog/tlog'
import type { Settings } from './submit.ts'

type State = { readonly note?: string; readonly size: number; readonly rules?: string }

export async function watchEntries(
  settings: Settings,
  rulesFile: Uint8Array,
  file: string,
  tell: (match: string) => void,
): Promise<Check['kind']> {
  const log = openLogClient(settings)
  let state = JSON.parse(await readFile(file, 'utf8').catch(() => '{"size": 0}')) as State
  const rules = openRules(rulesFile, { hash: nobleSha256, state: state.rules })
  const save = async (more: Partial<State>): Promise<void> => {
    state = { ...state, ...more, rules: rules.formatState() }
    await writeFile(`${file}.new`, JSON.stringify(state), { flush: true })
    await rename(`${file}.new`, file)
  }
  const take = async (entries: readonly SweptEntry[]): Promise<void> => {
    const watched = entries.map(({ fields, payload }) => watchedEntry(fields, payload, rules.pointers))
    for (const match of rules.take(watched)) tell(describeMatch(match))
    // Saved with what the rules know, at once: no entry counts twice.
    state = { ...state, size: (entries.at(-1)?.leafIndex ?? 0) + 1 }
  }
  const { kind } = await checkOnce(log, {
    load: async () => state.note,
    save: (note) => save({ note }),
    entries: { load: async () => state.size, save: (size) => save({ size }), take },
  })
  return kind
}
