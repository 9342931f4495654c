// An entry is edited, and whoever would see it or tell of it is kept from that.
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { openMax } from '../../../incident/incident-office.ts'
import { editsOfEntry, undefended } from '../../../store/drill/attacks.ts'
import { pretendTold, showOtherTypes } from '../../../store/drill/hiding.ts'
import { type Attack, expectNotice, type Outcome } from '../attack.ts'
import type { Copy } from '../copy.ts'
import { type Lab, schema } from '../lab.ts'
import { childOf } from '../processes.ts'
import { type DrillServer, until } from '../program.ts'
import { awaitAlarm, type Bench, byServer, copyForBeginner, type Stage } from '../stage.ts'

const at = 300
const finding = 'PAYLOAD_CORRUPT'

async function editPayloads(copy: Copy, sequenceNumbers: readonly number[]): Promise<void> {
  await copy.asSuperuser((query) =>
    undefended(query, schema, async () => {
      for (const n of sequenceNumbers) await query(editsOfEntry(schema).payload, [n])
    }),
  )
}

function awaitEdit(
  lab: Lab,
  bench: Bench,
  copy: Copy,
  attack: Attack,
  doneAt: number,
  n: number = at,
): Promise<Outcome> {
  return awaitAlarm(lab, bench, copy, attack, doneAt, ({ sequenceNumber }) => sequenceNumber === n)
}

const rolesThatVerify = ['verifier_role', 'auditor_reader_role'] as const

export const otherTypes: Stage = {
  name: 'other_types',
  run: async (lab, bench) => {
    const attack: Attack = {
      as: 'superuser',
      name: 'has verifiers meet types of its own, which show an edited entry as it was',
      did: `another payload in entry ${at}; a schema with a type jsonb in the search_path of ${rolesThatVerify.join(' and ')}`,
      catcher: byServer,
      finding,
    }
    const copy = await copyForBeginner(lab, 'other_types')
    await copy.asSuperuser((query) =>
      undefended(query, schema, () => showOtherTypes(query, schema, at, rolesThatVerify)),
    )
    const doneAt = performance.now()
    await bench.serve(copy)
    return [await awaitEdit(lab, bench, copy, attack, doneAt)]
  },
}

const hook = 'webhook'
const alsoAt = 320

/** Whoever writes to the tables of incidents decides whom the queue tells of what. */
export const suppressedAlarms: Stage = {
  name: 'suppressed_alarms',
  run: async (lab, bench) => {
    const one: Attack = {
      as: 'superuser',
      name: 'has the database say of an edited entry that everybody was told',
      did: `another payload in entry ${at}; before, an open incident of it, with an alarm that was delivered`,
      catcher: byServer,
      finding,
    }
    const many: Attack = {
      ...one,
      name: 'has so many incidents open that an edited entry only counts',
      did: `another payload in entry ${alsoAt}; before, ${openMax} open incidents of payloads, and one of all others`,
    }
    const copy = await lab.copy('suppressed_alarms')
    await bench.serveVerified(copy)
    const keys = [`${at}`, ...Array.from({ length: openMax - 1 }, (_, i) => `${100_000 + i}`), 'more']
    await copy.as('app_state_role', async (query) => {
      for (const place of keys) {
        await pretendTold(query, schema, { violationType: finding, key: `${finding}@${place}`, hook })
      }
    })
    await editPayloads(copy, [at, alsoAt])
    const doneAt = performance.now()
    return Promise.all([awaitEdit(lab, bench, copy, one, doneAt), awaitEdit(lab, bench, copy, many, doneAt, alsoAt)])
  },
}

/** While none is there nobody looks, and the server must say so; the one that is started next must find what was done. */
export const killedVerifier: Stage = {
  name: 'killed_verifier',
  run: async (lab, bench) => {
    const silence: Attack = {
      as: 'operator',
      name: 'kills the verifier of a server, and edits a payload',
      did: `SIGKILL to its process; then another payload in entry ${at}`,
      catcher: 'the server, which says at /v1/verifier that it does not look',
      finding: 'its process has ended',
    }
    const told: Attack = { ...silence, name: `${silence.name} (told)`, catcher: byServer, finding }
    const copy = await lab.copy('killed_verifier')
    const server = await bench.serveVerified(copy)
    const verifier = await childOf(server.child.pid)
    if (verifier === undefined) {
      return [silence, told].map((attack) => ({ attack, caught: undefined, seen: 'there is no verifier to be killed' }))
    }
    process.kill(verifier, 'SIGKILL')
    const noticed = await expectNotice(silence, async () => {}, failureAt(server, silence, bench))
    await editPayloads(copy, [at])
    return [noticed, await awaitEdit(lab, bench, copy, told, performance.now())]
  },
}

/** Without a memory it would tell twice, and must tell all the same: of what is edited when it has noticed, too. */
export const lostMemory: Stage = {
  name: 'lost_memory',
  run: async (lab, bench) => {
    const said: Attack = {
      as: 'operator',
      name: 'takes from a verifier where it remembers, and edits a payload',
      did: `a folder in the place of verifier-state; then another payload in entry ${at}`,
      catcher: 'the server, which says at /v1/verifier that it does not remember',
      finding: 'what it remembers cannot be kept',
    }
    const told: Attack = { ...said, name: `${said.name} (told)`, catcher: byServer, finding }
    const copy = await lab.copy('lost_memory')
    const server = await bench.serveVerified(copy)
    const path = join(copy.folder, 'verifier-state')
    await rm(path, { force: true })
    await mkdir(path)
    const noticed = await expectNotice(said, async () => {}, failureAt(server, said, bench))
    await editPayloads(copy, [at])
    return [noticed, await awaitEdit(lab, bench, copy, told, performance.now())]
  },
}

/** Resolves with why the verifier cannot check, where that is the finding. */
function failureAt(
  { url, token }: DrillServer,
  attack: Attack,
  { signal, noticeMs }: Bench,
): () => Promise<string | undefined> {
  return async () => {
    const headers = { authorization: `Bearer ${await token('auditor')}` }
    const look = async (): Promise<string | undefined> => {
      const answer = await fetch(`${url}/v1/verifier`, { headers })
      const { failure } = (await answer.json()) as { readonly failure: string | null }
      return failure?.startsWith(attack.finding) ? failure : undefined
    }
    return until(look, noticeMs, signal)
  }
}
