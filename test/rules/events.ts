/** Entries for rules, made by hand or from the sample. */
import { readFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { type EntryFacts, type WatchedEntry, watchedEntry } from '../../src/rules/entry.ts'
import { openRules, type RuleMatch, type Rules } from '../../src/rules/open-rules.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { parseOccurredAt } from '../../tlog/time.ts'

export type MadeEvent = Partial<EntryFacts> & { readonly payload?: unknown }

export function rulesOf(file: object, state?: string): Rules {
  return openRules(encodeUtf8(JSON.stringify(file)), { hash: nativeSha256, state })
}

/** Of one rule, with what it must have where that is not given. */
export function ruleOf(rule: object, file: object = {}): Rules {
  return rulesOf({ ...file, rules: [{ name: 'r', match: {}, ...rule }] })
}

/** Entries a second apart, but for what is given. */
export function entriesOf(rules: Rules, events: readonly MadeEvent[], first = 1): readonly WatchedEntry[] {
  return events.map(({ payload = {}, ...given }, i) => {
    const facts = {
      ...{ sequenceNumber: first + i, timestamp: (first + i) * 1e6, occurredAt: null, writer: 'token:w' },
      ...{ actorId: 'alice', action: 'doc.read', resource: 'doc/1', clientIp: '192.0.2.1' },
      ...given,
    }
    return watchedEntry(facts, payload, rules.pointers)
  })
}

/** Sequence numbers of the matches. */
export function matchedBy(rules: Rules, events: readonly MadeEvent[]): readonly number[] {
  return rules.take(entriesOf(rules, events)).map(({ entry }) => entry.sequenceNumber)
}

export type SampleEvent = {
  readonly id: string
  readonly actorId: string
  readonly action: string
  readonly resource: string
  readonly clientIp?: string
  readonly occurredAt: string
  readonly payload: Readonly<Record<string, unknown>>
}

/** The CloudTrail sample, as submissions. */
export async function readSample(): Promise<readonly SampleEvent[]> {
  const packed = await readFile(new URL('../../deploy/sample-events/cloudtrail.ndjson.gz', import.meta.url))
  const lines = gunzipSync(packed).toString().trim().split('\n')
  return lines.map((line) => JSON.parse(line) as SampleEvent)
}

/** As a log has them that got them all at once, years later. */
export function sampleEntries(rules: Rules, events: readonly SampleEvent[]): readonly WatchedEntry[] {
  return entriesOf(
    rules,
    events.map(({ id: _, occurredAt, clientIp = '127.0.0.1', ...event }, i) => {
      return { ...event, clientIp, occurredAt: parseOccurredAt(occurredAt), timestamp: 1_790_000_000_000_000 + i }
    }),
  )
}

export async function readDeployed(name: string): Promise<{ rules: Record<string, unknown>[] }> {
  const text = await readFile(new URL(`../../deploy/watch-rules/${name}`, import.meta.url), 'utf8')
  return JSON.parse(text) as { rules: Record<string, unknown>[] }
}

export function namesOf(matches: readonly RuleMatch[]): readonly string[] {
  return matches.map(({ rule, entry }) => `${rule} ${entry.sequenceNumber}`)
}
