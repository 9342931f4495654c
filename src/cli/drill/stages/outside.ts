// What the server itself cannot know, or must not go on with: old copies, stolen logins and keys, clocks, silence.
import { setTimeout as sleep } from 'node:timers/promises'
import { checkOnce, newEventId, openLogClient } from '../../../client/index.ts'
import { insertWithoutSeal, registerId } from '../../../store/drill/attacks.ts'
import { type Attack, expectNotice, type Outcome } from '../attack.ts'
import { type Lab, schema } from '../lab.ts'
import { type DrillServer, runProgram, startProgram, until } from '../program.ts'
import { awaitAlarm, type Bench, byServer, type Stage } from '../stage.ts'

const stopMs = 15_000

/** Resolves with what `/readyz` says where that is the finding; undefined where it is something else for long. */
export function stoppedBy(server: DrillServer, attack: Attack, { signal }: Bench): () => Promise<string | undefined> {
  return () =>
    until(
      async () => {
        const incident = await server.incident()
        return incident === attack.finding || incident === attack.orFinding ? incident : undefined
      },
      stopMs,
      signal,
    )
}

export const restoredBackup: Stage = {
  name: 'restored_backup',
  run: async (lab, bench) => {
    const attack: Attack = {
      name: 'restores an old backup of the database',
      as: 'operator',
      did: 'two thirds of the log; the server remembers all of it',
      catcher: 'the server, which takes and signs nothing',
      finding: 'ROLLBACK',
    }
    const copy = await lab.copy('restored_backup', { database: 'before' })
    const server = await bench.serve(copy)
    const doneAt = performance.now()
    const stopped = await expectNotice(attack, async () => {}, stoppedBy(server, attack, bench))
    const told = { ...attack, name: `${attack.name} (told)`, catcher: 'the server, by webhook' }
    return [stopped, await awaitAlarm(lab, bench, copy, told, doneAt)]
  },
}

/** Database and memory are of one time: for the server itself nothing is wrong. */
export const restoredSnapshot: Stage = {
  name: 'restored_snapshot',
  run: async (lab, bench) => {
    const attack: Attack = {
      name: 'restores a snapshot of database and files together',
      as: 'operator',
      did: 'both as they were when the log had two thirds of its entries',
      catcher: 'a monitor outside, which saw more',
      finding: 'ROLLBACK',
    }
    const server = await bench.serve(await lab.copy('restored_snapshot', { database: 'before', files: 'before' }))
    return [await byMonitor(lab, bench, attack, server)]
  },
}

/** With keys and an older copy somebody signs another history: nothing of it is wrong in itself. */
export const stolenKeys: Stage = {
  name: 'stolen_keys',
  run: async (lab, bench) => {
    const attack: Attack = {
      name: 'writes another history and signs it with the stolen keys',
      as: 'thief of the keys',
      did: 'a server on an older copy, and other events than those that were logged',
      catcher: 'a monitor outside, which saw the first one',
      finding: 'FORKED',
    }
    const server = await bench.serve(await lab.copy('stolen_keys', { database: 'before', files: 'before' }))
    await submitMore(server, lab.size)
    return [await byMonitor(lab, bench, attack, server)]
  },
}

export async function submitMore(server: DrillServer, count: number): Promise<void> {
  const event = JSON.stringify({ actorId: 'mallory', action: 'never.happened', resource: 'the log', payload: {} })
  const answer = await fetch(`${server.url}/v1/entries?wait=published`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await server.token('writer')}`, 'content-type': 'application/x-ndjson' },
    body: Array<string>(count).fill(event).join('\n'),
  })
  if (answer.status !== 200) throw new Error(`the thief's server does not take events: ${await answer.text()}`)
}

async function byMonitor(
  { vkey, seen }: Lab,
  { signal }: Bench,
  attack: Attack,
  { url }: DrillServer,
): Promise<Outcome> {
  const client = openLogClient({ url, vkey })
  return expectNotice(
    attack,
    async () => {},
    async () => {
      const options = { load: async () => seen.note, save: async () => {}, olderMs: 0 }
      const check = await checkOnce(client, options, signal)
      return check.kind === 'violated' && check.finding.kind === attack.finding ? check.finding.kind : undefined
    },
  )
}

/** The login may insert: what it cannot make is the seal. */
export const stolenWriter: Stage = {
  name: 'stolen_writer',
  run: async (lab, bench) => {
    const attack: Attack = {
      name: 'inserts an entry and a head of its own with a stolen login of the writer',
      as: 'thief of a login',
      did: 'a row of audit_logs and one of tree_heads, inserted as app_writer_role',
      catcher: 'the server, which takes and signs nothing on top of it',
      finding: 'FORGED_HEAD',
    }
    const copy = await lab.copy('stolen_writer')
    const server = await bench.serveVerified(copy)
    await copy.as('app_writer_role', (query) => insertWithoutSeal(query, schema))
    const doneAt = performance.now()
    void submitMore(server, 1).catch(() => {})
    const stopped = await expectNotice(attack, async () => {}, stoppedBy(server, attack, bench))
    const told = { ...attack, name: `${attack.name} (told)`, catcher: byServer }
    return [stopped, await awaitAlarm(lab, bench, copy, told, doneAt)]
  },
}

/** An id that is known already makes of the true event a duplicate of another. */
export const registeredId: Stage = {
  name: 'registered_id',
  run: async (lab) => {
    const attack: Attack = {
      name: 'registers the id of an event that is still to come',
      as: 'thief of a login',
      did: 'a row of entry_ids, inserted as app_writer_role',
      catcher: 'dendrolog verify --full',
      finding: 'KNOWN_IDS_MISMATCH',
    }
    const copy = await lab.copy('registered_id')
    return [
      await expectNotice(
        attack,
        () => copy.as('app_writer_role', (query) => registerId(query, schema, newEventId())),
        async () => {
          const { status, stdout } = await runProgram(['verify', '--full', '--json'], copy.environment)
          const { violationType } = JSON.parse(stdout) as { readonly violationType: string | null }
          return status === 1 && violationType === attack.finding ? violationType : undefined
        },
      ),
    ]
  },
}

const clockHoursBack = 2

export const clockBack: Stage = {
  name: 'clock_back',
  run: async (lab, bench) => {
    const attack: Attack = {
      name: 'sets the clock of the server back',
      as: 'operator',
      did: `by ${clockHoursBack} hours; that of the database is right`,
      catcher: 'the server, which gives no entry a time',
      finding: 'CLOCK_SKEW',
    }
    const shift = `const now = Date.now; Date.now = () => now() - ${clockHoursBack} * 3600000`
    const flags = ['--import', `data:text/javascript,${encodeURIComponent(shift)}`]
    const server = await bench.serve(await lab.copy('clock_back'), flags)
    return [await expectNotice(attack, async () => {}, stoppedBy(server, attack, bench))]
  },
}

const roundSeconds = 1
/** What a dead-man service waits for beyond the time of a round. */
const graceMs = 4_000

/** A verifier that runs as a job, and somebody who stops it without ending it. */
export const silencedVerifier: Stage = {
  name: 'silenced_verifier',
  run: async (lab, { signal, noticeMs }) => {
    const attack: Attack = {
      name: 'silences the verifier',
      as: 'operator',
      did: 'SIGSTOP to a verifier that runs every second',
      catcher: 'a dead-man service, which hears nothing any more',
      finding: 'silence',
    }
    const { receiver } = lab
    const plain = await lab.copy('silenced_verifier')
    const heartbeat = { DENDROLOG_HEARTBEAT_URL: receiver.heartbeatUrl(plain.name), DENDROLOG_HEARTBEAT_STYLE: 'plain' }
    const copy = { ...plain, environment: { ...plain.environment, ...heartbeat } }
    const job = startProgram(['verify', '--every', `${roundSeconds}s`], copy)
    try {
      const beats = async (): Promise<number | undefined> => receiver.heardAt(copy.name)
      const heard = await until(beats, noticeMs, signal)
      if (heard === undefined) return [{ attack, caught: undefined, seen: 'no heartbeat before the attack either' }]
      return [
        await expectNotice(
          attack,
          async () => job.child.kill('SIGSTOP'),
          async () => {
            await sleep(roundSeconds * 1_000 + graceMs, undefined, { signal })
            const last = receiver.heardAt(copy.name) ?? 0
            return performance.now() - last >= graceMs ? 'no heartbeat since the attack' : undefined
          },
        ),
      ]
    } finally {
      job.child.kill('SIGCONT')
      await job.stop()
    }
  },
}
