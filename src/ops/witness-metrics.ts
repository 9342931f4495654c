import { Counter, Gauge, Registry } from 'prom-client'

/** A log of a witness: how far it was cosigned, and when by this process, in seconds since 1970. */
export type WitnessedLog = {
  readonly origin: string
  readonly size: number
  readonly cosignedS: number | undefined
}

export type WitnessMetrics = {
  readonly contentType: string
  /** `outcome`: `cosigned`, or the status that was answered. */
  readonly onAnswered: (outcome: string) => void
  readonly render: () => Promise<string>
}

/** What a witness tells of itself, in Prometheus' text format; logs are read when somebody asks. */
export function createWitnessMetrics(readLogs: () => readonly WitnessedLog[]): WitnessMetrics {
  const registry = new Registry()
  const registers = [registry]
  const answers = new Counter({
    ...{ name: 'dendrolog_witness_server_answers_total', help: 'Answers to add-checkpoint', registers },
    labelNames: ['outcome'] as const,
  })
  const sizes = new Gauge({
    ...{ name: 'dendrolog_witness_server_size', help: 'Entries under what was cosigned last of a log', registers },
    labelNames: ['origin'] as const,
  })
  const times = new Gauge({
    name: 'dendrolog_witness_server_cosigned_timestamp_seconds',
    help: 'When a log was cosigned last, since the start',
    ...{ registers, labelNames: ['origin'] as const },
  })
  return {
    contentType: registry.contentType,
    onAnswered: (outcome) => answers.inc({ outcome }),
    render: () => {
      for (const { origin, size, cosignedS } of readLogs()) {
        sizes.set({ origin }, size)
        if (cosignedS !== undefined) times.set({ origin }, cosignedS)
      }
      return registry.metrics()
    },
  }
}
