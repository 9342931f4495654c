import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25]
const entries = [1, 8, 64, 256, 1_024, 4_096, 8_192, 16_384, 65_536]

/** What is read when somebody asks for the metrics. */
export type Readings = {
  readonly pendingEntries: number
  readonly integratedSize: number
  readonly publishedSize: number
  readonly publishedAtMs: number
  /** Under a checkpoint that the quorum of the witnesses has cosigned; absent without such. */
  readonly witnessedSize?: number | undefined
  readonly searchedSize: number
  readonly searchCheckedSize: number
  readonly isReady: boolean
  readonly isLeader: boolean
  readonly bodyBytes: number
  /** Of the TLS certificate; absent without one. */
  readonly certificateExpiresAtMs?: number | undefined
  /** Of the verifier; absent where there is none, or before it could look. */
  readonly verifier?: VerifierReadings | undefined
  /** Within so many hours the verifier is to hash every entry again; absent where there is none. */
  readonly verifyWithinHours?: number | undefined
  /** Of the watch rules, in entries; absent where there are none, or another server tells of their matches. */
  readonly watchRules?: { readonly size: number; readonly lag: number } | undefined
}

/** Where a verifier stands; sizes in entries, times in milliseconds since 1970. */
export type VerifierReadings = {
  readonly verifiedSize: number
  readonly size: number
  readonly checkedMs: number | undefined
  readonly coveredMs: number | null
  readonly findings: number
  readonly rewritten: number
}

/** All that is measured. The names are what dashboards and alerts know. */
export type Metrics = {
  /** Seconds, by `kind` (single, batch), of submissions that were read: from the headers to the answer or refusal. */
  readonly submitSeconds: Histogram<'kind'>
  /** Seconds from handing a batch over until it is durable, waiting for the one before included. */
  readonly commitSeconds: Histogram
  readonly batchEntries: Histogram
  /** Seconds of signing and storing one checkpoint. */
  readonly publishSeconds: Histogram
  readonly quarantined: Counter
  /** By `code`, the one of the answer. */
  readonly problems: Counter<'code'>
  /** By `follower`. */
  readonly followerFailures: Counter<'follower'>
  /** Rows of the search tables that were not what the tree holds. */
  readonly searchMismatches: Counter
  /** Rows of the ledger that were not those in the tree. */
  readonly leafMismatches: Counter
  /** By `hook` and `outcome` (delivered, failed, dead), of attempts to deliver alarms. */
  readonly hookAttempts: Counter<'hook' | 'outcome'>
  /** By `hook`: alarms that are still tried, and those that were given up. */
  readonly hookPending: Gauge<'hook'>
  readonly hookDeadLetters: Gauge<'hook'>
  /** By `hook`, seconds since 1970. */
  readonly hookDeliveredAt: Gauge<'hook'>
  readonly openIncidents: Gauge<'kind'>
  /** By `rule`, of the watch rules. */
  readonly ruleMatches: Counter<'rule'>
  /** By `kind` (start, success, fail) and `outcome` (sent, failed). */
  readonly heartbeats: Counter<'kind' | 'outcome'>
  /** By `kind`, seconds since 1970. */
  readonly heartbeatSentAt: Gauge<'kind'>
  /** By `witness` and `answer` (cosigned, ahead, conflict, failed). */
  readonly witnessAnswers: Counter<'witness' | 'answer'>
  /** By `witness`, seconds from asking to its answer, the storing of a cosignature included. */
  readonly witnessSeconds: Histogram<'witness'>
  /** By `witness`, seconds since 1970. */
  readonly witnessCosignedAt: Gauge<'witness'>
  /** By `authority` and `outcome` (stamped, failed). */
  readonly stamps: Counter<'authority' | 'outcome'>
  /** By `authority`: the time of its last stamp, the entries under it, seconds that its clock is ahead, seconds from the stamp before, and when its certificates end. */
  readonly stampedAt: Gauge<'authority'>
  readonly stampedSize: Gauge<'authority'>
  readonly stampSkew: Gauge<'authority'>
  readonly stampSpacing: Gauge<'authority'>
  readonly stampExpiry: Gauge<'authority'>
  /** By `authority` of the stamps: how many were stamped again, and when the first ends of those that were not. */
  readonly stampRenewals: Counter<'authority'>
  readonly stampsEnd: Gauge<'authority'>
  /** Prometheus text format 0.0.4. */
  readonly format: () => Promise<string>
  readonly contentType: string
}

export function createMetrics(read: () => Readings): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  for (const [name, help, valueFrom] of gauges) {
    new Gauge({
      name: `dendrolog_${name}`,
      help,
      registers,
      collect() {
        const value = valueFrom(read())
        if (value === undefined) this.remove()
        else this.set(value)
      },
    })
  }
  return {
    submitSeconds: new Histogram({
      ...{ name: 'dendrolog_submit_seconds', help: 'From the headers of a submission to its answer', registers },
      ...{ labelNames: ['kind'] as const, buckets: seconds },
    }),
    commitSeconds: new Histogram({
      ...{ name: 'dendrolog_commit_seconds', help: 'From handing a batch over until it is durable', registers },
      buckets: seconds,
    }),
    batchEntries: new Histogram({
      ...{ name: 'dendrolog_batch_entries', help: 'Entries of a commit', registers, buckets: entries },
    }),
    publishSeconds: new Histogram({
      ...{ name: 'dendrolog_publish_seconds', help: 'Signing and storing a checkpoint', registers, buckets: seconds },
    }),
    quarantined: new Counter({
      ...{ name: 'dendrolog_quarantined_total', help: 'Records that could not become entries', registers },
    }),
    problems: new Counter({
      ...{ name: 'dendrolog_problems_total', help: 'Answers that were refusals, by code', registers },
      labelNames: ['code'] as const,
    }),
    searchMismatches: new Counter({
      ...{ name: 'dendrolog_search_mismatches_total', help: 'Rows of the search tables that were wrong', registers },
    }),
    leafMismatches: new Counter({
      ...{
        name: 'dendrolog_leaf_mismatches_total',
        help: 'Rows of the ledger that were not what was signed',
        registers,
      },
    }),
    followerFailures: new Counter({
      ...{ name: 'dendrolog_follower_failures_total', help: 'Steps of a follower that failed', registers },
      labelNames: ['follower'] as const,
    }),
    hookAttempts: new Counter({
      ...{ name: 'dendrolog_hook_attempts_total', help: 'Attempts to deliver alarms to hooks', registers },
      labelNames: ['hook', 'outcome'] as const,
    }),
    hookPending: new Gauge({
      ...{ name: 'dendrolog_hook_pending', help: 'Alarms that hooks have not yet', registers },
      labelNames: ['hook'] as const,
    }),
    hookDeadLetters: new Gauge({
      ...{ name: 'dendrolog_hook_dead_letters', help: 'Alarms that were given up', registers },
      labelNames: ['hook'] as const,
    }),
    hookDeliveredAt: new Gauge({
      ...{ name: 'dendrolog_hook_delivered_timestamp_seconds', help: 'When a hook last took an alarm', registers },
      labelNames: ['hook'] as const,
    }),
    openIncidents: new Gauge({
      ...{ name: 'dendrolog_open_incidents', help: 'Incidents that nobody has closed', registers },
      labelNames: ['kind'] as const,
    }),
    ruleMatches: new Counter({
      ...{ name: 'dendrolog_watch_rule_matches_total', help: 'Entries that watch rules told of', registers },
      labelNames: ['rule'] as const,
    }),
    heartbeats: new Counter({
      ...{ name: 'dendrolog_heartbeats_total', help: 'Pings of the dead-man service', registers },
      labelNames: ['kind', 'outcome'] as const,
    }),
    heartbeatSentAt: new Gauge({
      ...{ name: 'dendrolog_heartbeat_sent_timestamp_seconds', help: 'When it last took a ping', registers },
      labelNames: ['kind'] as const,
    }),
    witnessAnswers: new Counter({
      ...{
        name: 'dendrolog_witness_answers_total',
        help: 'What witnesses answered that were asked to cosign',
        registers,
      },
      labelNames: ['witness', 'answer'] as const,
    }),
    witnessSeconds: new Histogram({
      ...{ name: 'dendrolog_witness_seconds', help: 'From asking a witness to its answer', registers },
      ...{ labelNames: ['witness'] as const, buckets: seconds },
    }),
    witnessCosignedAt: new Gauge({
      ...{ name: 'dendrolog_witness_cosigned_timestamp_seconds', help: 'When a witness last cosigned', registers },
      labelNames: ['witness'] as const,
    }),
    stamps: new Counter({
      ...{ name: 'dendrolog_stamps_total', help: 'What time-stamp authorities were asked for', registers },
      labelNames: ['authority', 'outcome'] as const,
    }),
    stampedAt: new Gauge({
      ...{ name: 'dendrolog_stamped_timestamp_seconds', help: 'Time of the last stamp', registers },
      labelNames: ['authority'] as const,
    }),
    stampedSize: new Gauge({
      ...{ name: 'dendrolog_stamped_size', help: 'Entries under a checkpoint that was stamped', registers },
      labelNames: ['authority'] as const,
    }),
    stampSkew: new Gauge({
      ...{ name: 'dendrolog_stamp_skew_seconds', help: "How far an authority's clock is ahead", registers },
      labelNames: ['authority'] as const,
    }),
    stampSpacing: new Gauge({
      ...{ name: 'dendrolog_stamp_spacing_seconds', help: 'From one stamp to the next', registers },
      labelNames: ['authority'] as const,
    }),
    stampRenewals: new Counter({
      ...{ name: 'dendrolog_stamps_renewed_total', help: 'Stamps that were stamped again', registers },
      labelNames: ['authority'] as const,
    }),
    stampsEnd: new Gauge({
      ...{
        name: 'dendrolog_stamps_end_timestamp_seconds',
        help: 'When the first of the stamps ends that were not stamped again',
        registers,
      },
      labelNames: ['authority'] as const,
    }),
    stampExpiry: new Gauge({
      ...{
        name: 'dendrolog_stamp_certificate_expires_timestamp_seconds',
        help: 'When the first certificate of its chain ends',
        registers,
      },
      labelNames: ['authority'] as const,
    }),
    format: () => registry.metrics(),
    contentType: registry.contentType,
  }
}

/** Undefined: there is no such thing here. */
type ValueFrom = (readings: Readings) => number | undefined

const gauges: readonly (readonly [name: string, help: string, valueFrom: ValueFrom])[] = [
  ['pending_entries', 'Received and not yet in a batch', ({ pendingEntries }) => pendingEntries],
  ['integrated_size', 'Entries that are durable in the tree', ({ integratedSize }) => integratedSize],
  ['published_size', 'Entries under the newest checkpoint', ({ publishedSize }) => publishedSize],
  ['witnessed_size', 'Entries under a checkpoint that the quorum cosigned', ({ witnessedSize }) => witnessedSize],
  ['checkpoint_timestamp_seconds', 'Time of the newest checkpoint', ({ publishedAtMs }) => publishedAtMs / 1_000],
  ['searched_size', 'Entries in the search tables', ({ searchedSize }) => searchedSize],
  ['search_checked_size', 'Of them, compared with the tree', ({ searchCheckedSize }) => searchCheckedSize],
  ['ready', '1 where the log takes entries', ({ isReady }) => (isReady ? 1 : 0)],
  ['leader', '1 where this server sequences and signs', ({ isLeader }) => (isLeader ? 1 : 0)],
  ['body_bytes', 'Bytes of request bodies under way', ({ bodyBytes }) => bodyBytes],
  ['verified_size', 'Entries that the verifier has hashed', ({ verifier }) => verifier?.verifiedSize],
  // Of one that looks no more its own size stands still.
  [
    'verifier_lag',
    'Entries that it has not yet',
    ({ verifier, publishedSize }) => verifier && Math.max(verifier.size, publishedSize) - verifier.verifiedSize,
  ],
  [
    'verifier_checked_timestamp_seconds',
    'When the verifier could check the last time',
    ({ verifier }) => verifier?.checkedMs && verifier.checkedMs / 1_000,
  ],
  [
    'verifier_covered_timestamp_seconds',
    'Every entry before was hashed again since then',
    ({ verifier }) => (verifier?.coveredMs ?? undefined) && Number(verifier?.coveredMs) / 1_000,
  ],
  [
    'verifier_within_seconds',
    'Within this time every entry is to be hashed again',
    ({ verifyWithinHours }) => verifyWithinHours && verifyWithinHours * 3_600,
  ],
  ['verifier_findings', 'Violations that the verifier has found', ({ verifier }) => verifier?.findings],
  [
    'verifier_rewritten',
    'Times, since the start, that rows were found written again that say what they said',
    ({ verifier }) => verifier?.rewritten,
  ],
  ['watch_rules_size', 'Entries that the watch rules have seen', ({ watchRules }) => watchRules?.size],
  ['watch_rules_lag', 'Entries that they have not yet', ({ watchRules }) => watchRules?.lag],
  [
    'tls_certificate_expires_timestamp_seconds',
    'When the first certificate of the TLS chain expires',
    ({ certificateExpiresAtMs }) => certificateExpiresAtMs && certificateExpiresAtMs / 1_000,
  ],
]
