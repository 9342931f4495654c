// Rows are written anew together with what is made of them, or the log loses its end.
import type { Schema } from '../../../store/batch.ts'
import {
  cutTail,
  disableTrigger,
  editsOfEntry,
  insertWithoutSeal,
  readHeadBelow,
  showTwoFaces,
  switchGuard,
  undefended,
} from '../../../store/drill/attacks.ts'
import { rewriteHashes, rewriteTree } from '../../../store/drill/rewrite.ts'
import type { Query } from '../../../store/session.ts'
import type { Attack, Outcome } from '../attack.ts'
import type { Copy } from '../copy.ts'
import { type Lab, schema } from '../lab.ts'
import { until } from '../program.ts'
import { awaitAlarm, type Bench, byServer, type Stage } from '../stage.ts'

const bySuperuser = { as: 'superuser', catcher: byServer } as const

/** A superuser does something to a copy while a server runs on it, and leaves nothing undone. */
function attackBySuperuser(
  name: string,
  attack: Attack,
  act: (query: Query, schema: Schema, lab: Lab) => Promise<unknown>,
): Stage {
  return {
    name,
    run: async (lab, bench) => {
      const copy = await lab.copy(name)
      await bench.serveVerified(copy)
      await copy.asSuperuser((query) => undefended(query, schema, () => act(query, schema, lab)))
      return [await awaitAlarm(lab, bench, copy, attack, performance.now())]
    },
  }
}

export const rechained: Stage = attackBySuperuser(
  'rechained',
  {
    ...bySuperuser,
    name: 'edits an entry and chains every one behind it anew',
    did: 'another payload in entry 700; payload, chain and leaf hashes of all from there on are right again',
    finding: 'ROOT_MISMATCH',
  },
  async (query, of, { size }) => {
    await query(editsOfEntry(of).payload, [700])
    await rewriteHashes(query, of, 700, size)
  },
)

export const rewritten: Stage = attackBySuperuser(
  'rewritten',
  {
    ...bySuperuser,
    name: 'writes rows, tiles, heads and checkpoints anew, all in agreement, without a key',
    did: 'another payload in entry 700, and all that is computed from it',
    finding: 'FORGED_HEAD',
  },
  async (query, of, { size }) => {
    await query(editsOfEntry(of).payload, [700])
    await rewriteHashes(query, of, 700, size)
    await rewriteTree(query, of, size)
  },
)

export const tailRows: Stage = attackBySuperuser(
  'tail_rows',
  {
    ...bySuperuser,
    name: 'deletes the newest entries',
    did: 'the last 20 rows; heads and checkpoints stay',
    finding: 'HEAD_TRUNCATED',
    // Where the log noticed first, its own entry about that is behind the hole.
    orFinding: 'GAP_IN_SEQUENCE',
  },
  (query, of, { size }) => cutTail(query, of, size - 20, false),
)

export const tail: Stage = attackBySuperuser(
  'tail',
  {
    ...bySuperuser,
    name: 'deletes the newest entries with all that tells of them',
    did: 'rows, ids, tiles, heads and checkpoints of the last commits',
    finding: 'ROLLBACK',
  },
  async (query, of, { size }) => cutTail(query, of, await readHeadBelow(query, of, size - 20), true),
)

export const tailReplaced: Stage = attackBySuperuser(
  'tail_replaced',
  {
    ...bySuperuser,
    name: 'deletes the newest entries and puts others in their place',
    did: 'the last commits with all that tells of them; then an entry and a head of its own',
    finding: 'FORGED_HEAD',
  },
  async (query, of, { size }) => {
    await cutTail(query, of, await readHeadBelow(query, of, size - 20), true)
    await insertWithoutSeal(query, of)
  },
)

/** The trigger stays disabled: nothing was altered yet. */
export const schemaTampered: Stage = {
  name: 'schema_tampered',
  run: async (lab, bench) => {
    const copy = await lab.copy('schema_tampered')
    await bench.serveVerified(copy)
    const attack: Attack = {
      ...bySuperuser,
      name: 'disables a trigger, and alters nothing yet',
      did: 'refuse_change of the ledger',
      finding: 'SCHEMA_TAMPERED',
    }
    await copy.asSuperuser(async (query) => {
      await switchGuard(query, 'disable')
      await disableTrigger(query, schema)
      await switchGuard(query, 'enable always')
    })
    return [await awaitAlarm(lab, bench, copy, attack, performance.now())]
  },
}

const shownAt = 750

/** The verifier sees what it should; whoever reads the entry must not be given the other one. */
export const twoFaces: Stage = {
  name: 'two_faces',
  run: async (lab, bench) => {
    const copy = await lab.copy('two_faces')
    const server = await bench.serveVerified(copy)
    const attack: Attack = {
      as: 'superuser',
      name: 'shows the verifier other rows than everybody else',
      did: `a view in place of the ledger, with another entry ${shownAt} for all but verifier_role`,
      catcher: 'the server, which gives out no entry that is not in the tree',
      finding: 'entry-damaged',
    }
    await copy.asSuperuser(async (query) => {
      await switchGuard(query, 'disable')
      await showTwoFaces(query, schema, shownAt, 'verifier_role')
    })
    const doneAt = performance.now()
    const read = await readEntry(server.url, await server.token('auditor'), bench)
    const told: Outcome =
      read === attack.finding
        ? { attack, caught: { afterMs: performance.now() - doneAt, detail: read }, seen: undefined }
        : { attack, caught: undefined, seen: read ?? 'the entry was given out' }
    return [told, await viewIsTold(lab, bench, copy, attack, doneAt)]
  },
}

function viewIsTold(lab: Lab, bench: Bench, copy: Copy, attack: Attack, doneAt: number): Promise<Outcome> {
  const same = { ...attack, name: `${attack.name} (the verifier)`, catcher: byServer, finding: 'SCHEMA_TAMPERED' }
  return awaitAlarm(lab, bench, copy, same, doneAt)
}

/** The problem's code, where it is one. Once the view is there; a statement may be planned on the table until then. */
async function readEntry(url: string, token: string, { signal }: Bench): Promise<string | undefined> {
  return until(
    async () => {
      const answer = await fetch(`${url}/v1/entries/${shownAt}`, { headers: { authorization: `Bearer ${token}` } })
      return ((await answer.json()) as { readonly code?: string }).code
    },
    5_000,
    signal,
  )
}
