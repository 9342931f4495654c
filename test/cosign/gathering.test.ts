import { afterEach, describe, expect, test } from 'vitest'
import type { Asked } from '../../src/cosign/client.ts'
import { Gathering, type OfferedCheckpoint } from '../../src/cosign/gathering.ts'
import type { NoteSignature } from '../../tlog/note.ts'
import { until } from '../support/log.ts'

// Rounds, with cosigners whose answers the test gives.

type Open = { readonly number: number; readonly answer: (asked: Asked | Error) => void }

const stopping: AbortController[] = []
afterEach(() => {
  for (const stop of stopping.splice(0)) stop.abort()
})

function gatheringOf(names: readonly string[], quorum: number, restMs = 10) {
  const open = new Map<string, Open[]>(names.map((name) => [name, []]))
  const asked: string[] = []
  const gathered: string[] = []
  const stored: string[] = []
  const told: string[] = []
  let isAway = false
  const gathering = new Gathering<OfferedCheckpoint>({
    cosigners: names.map((name) => ({
      name,
      ask: ({ number }) =>
        new Promise<Asked>((resolve, reject) => {
          asked.push(`${name}${number}`)
          open.get(name)?.push({
            number,
            answer: (answer) => (answer instanceof Error ? reject(answer) : resolve(answer)),
          })
        }),
    })),
    isQuorum: ({ signatures }) => signatures.length >= quorum,
    store: async ({ number }, signatures) => {
      if (isAway) throw new Error('the database is away')
      stored.push(...signatures.map(({ name }) => `${name}${number}`))
    },
    onGathered: ({ checkpoint, signatures }, isQuorum) =>
      gathered.push(`${checkpoint.number}: ${signatures.map(({ name }) => name).join('')}${isQuorum ? '!' : ''}`),
    onAsked: (name, { kind }, _seconds, { number }) => told.push(`${name}${number} ${kind}`),
    timing: { restMs, restMaxMs: 4 * restMs },
  })
  const stop = new AbortController()
  stopping.push(stop)
  const running = gathering.run(stop.signal)
  const answerOf = async (name: string): Promise<Open> => {
    await until(
      () => (open.get(name)?.length ?? 0) > 0,
      () => `nobody asks ${name}`,
    )
    return open.get(name)?.shift() as Open
  }
  return {
    ...{ asked, gathered, stored, told, stop, running },
    offer: (number: number) => gathering.offer({ number, treeSize: number * 10, note: `note ${number}` }),
    cosigns: async (name: string) => (await answerOf(name)).answer({ kind: 'cosigned', signatures: [signed(name)] }),
    refuses: async (name: string) => (await answerOf(name)).answer({ kind: 'failed', reason: 'status 500' }),
    breaks: async (name: string) => (await answerOf(name)).answer(new Error('no proof')),
    setAway: (away: boolean) => {
      isAway = away
    },
    has: (line: string) =>
      until(
        () => gathered.includes(line),
        () => `${line} in ${gathered.join(', ')}`,
      ),
  }
}

function signed(name: string): NoteSignature {
  return { name, keyId: 1, signature: Uint8Array.of(1) }
}

describe('rounds', () => {
  test('all are asked for the same checkpoint, and the newest comes when the quorum is there', async () => {
    const g = gatheringOf(['a', 'b', 'c'], 2)
    g.offer(1)
    await g.cosigns('a')
    g.offer(2)
    g.offer(3)
    await g.has('1: a')
    expect(g.asked.sort()).toEqual(['a1', 'b1', 'c1'])
    await g.cosigns('b')
    await g.has('1: ab!')
    // c is still at 1; its answer counts too, and then it is asked for what the others are at.
    await g.cosigns('a')
    await g.cosigns('c')
    await g.has('1: abc!')
    await g.cosigns('c')
    await g.has('3: ac!')
    expect(g.asked).not.toContain('a2')
    expect(g.stored).toEqual(['a1', 'b1', 'a3', 'c1', 'c3'])
  })

  test('one that fails rests and is asked again, also where nothing new is offered', async () => {
    const g = gatheringOf(['a', 'b'], 2)
    g.offer(1)
    await g.cosigns('a')
    await g.refuses('b')
    await g.breaks('b')
    await g.cosigns('b')
    await g.has('1: ab!')
    expect(g.told).toEqual(['a1 cosigned', 'b1 failed', 'b1 failed', 'b1 cosigned'])
  })

  test('while one rests that the quorum needs, the others go on with what is newer, and it joins them', async () => {
    const g = gatheringOf(['a', 'b'], 2, 40)
    g.offer(1)
    await g.cosigns('a')
    await g.refuses('b')
    g.offer(2)
    await g.cosigns('a')
    await g.has('2: a')
    await g.cosigns('b')
    await g.has('2: ab!')
  })

  test('without anything new nobody is asked twice', async () => {
    const g = gatheringOf(['a'], 1)
    g.offer(1)
    await g.cosigns('a')
    await g.has('1: a!')
    g.offer(2)
    await g.cosigns('a')
    await g.has('2: a!')
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(g.asked).toEqual(['a1', 'a2'])
  })

  test('what could not be stored counts for nothing, and is asked for again', async () => {
    const g = gatheringOf(['a'], 1)
    g.setAway(true)
    g.offer(1)
    await g.cosigns('a')
    await until(
      () => g.told.includes('a1 failed'),
      () => g.told.join(),
    )
    expect(g.gathered).toEqual([])
    g.setAway(false)
    await g.cosigns('a')
    await g.has('1: a!')
    expect(g.stored).toEqual(['a1'])
  })

  test('ends at once while everybody waits, and rests', async () => {
    const g = gatheringOf(['a', 'b'], 2, 60_000)
    g.offer(1)
    await g.cosigns('a')
    await g.refuses('b')
    await g.has('1: a')
    g.stop.abort()
    await g.running
  })
})
