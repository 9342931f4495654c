// First pages of searches of every kind, one after the other, as an auditor asks them.
import { randomOf } from '../events.ts'
import type { ServerProcess } from '../server-process.ts'
import { quantile } from '../statistics.ts'

const searches = 200

type Page = { readonly entries: readonly unknown[]; readonly searchedSize: number }

/** What is asked for, by a random number of [0, 1): what many entries have, few, and none. */
const kinds: readonly ((random: () => number) => Readonly<Record<string, string>>)[] = [
  (random) => ({ actorId: `user-${digits(random() * 5_000, 5)}@example.org` }),
  (random) => ({ resource: `document/${digits(random() * 1e7, 7)}` }),
  (random) => ({ resourcePrefix: `document/${digits(random() * 1e5, 5)}` }),
  (random) => ({ action: 'login.succeed', actorId: `user-${digits(random() * 5_000, 5)}@example.org`, order: 'asc' }),
  () => ({ actionPrefix: 'document.', clientIp: '127.0.0.1' }),
  (random) => ({ actorId: `nobody-${Math.floor(random() * 1e6)}` }),
  (random) => ({ writer: 'token:writer', action: random() < 0.5 ? 'invoice.approve' : 'permission.grant' }),
]

/** 95th percentile of the times to the first page, milliseconds. */
export async function timeSearches(server: ServerProcess, size: number, seed: number): Promise<number> {
  const random = randomOf(seed)
  const latenciesMs: number[] = []
  for (let i = 0; i < searches; i++) {
    const kind = kinds[i % kinds.length]
    if (kind === undefined) continue
    const startedAt = performance.now()
    const { searchedSize } = await search(server, kind(random))
    latenciesMs.push(performance.now() - startedAt)
    if (searchedSize < size) throw new Error(`searched ${searchedSize} of ${size} entries`)
  }
  return quantile(latenciesMs, 0.95)
}

/** Entries that search does not have yet. */
export async function readLag(server: ServerProcess, size: number): Promise<number> {
  const { searchedSize } = await search(server, { limit: '1' })
  return Math.max(0, size - searchedSize)
}

async function search({ url, readToken }: ServerProcess, query: Readonly<Record<string, string>>): Promise<Page> {
  const headers = { authorization: `Bearer ${await readToken('auditor')}` }
  const answer = await fetch(`${url}/v1/entries?${new URLSearchParams(query)}`, { headers })
  if (answer.status !== 200) throw new Error(`search: ${answer.status} ${(await answer.text()).slice(0, 200)}`)
  return (await answer.json()) as Page
}

function digits(n: number, count: number): string {
  return String(Math.floor(n)).padStart(count, '0')
}
