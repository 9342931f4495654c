// A superuser edits single rows and what stands around them. All on one copy: each is told with its own place.
import type { Schema } from '../../../store/batch.ts'
import {
  alterCheckpoint,
  alterTile,
  deleteEntry,
  editsOfEntry,
  moveAcrossSeparator,
  rewriteFirst,
  swapWithNext,
  takeIdOf,
  undefended,
} from '../../../store/drill/attacks.ts'
import type { Query } from '../../../store/session.ts'
import type { ToldAlarm } from '../alarm-receiver.ts'
import type { Attack, Outcome } from '../attack.ts'
import { type Lab, schema } from '../lab.ts'
import { awaitAlarm, byServer, type Stage } from '../stage.ts'

type RowAttack = {
  readonly name: string
  readonly did: string
  readonly finding: string
  readonly act: (query: Query, schema: Schema) => Promise<unknown>
  readonly matches?: (alarm: ToldAlarm) => boolean
}

const at =
  (sequenceNumber: number) =>
  (alarm: ToldAlarm): boolean =>
    alarm.sequenceNumber === sequenceNumber

function rowAttacks({ separatorAt }: Lab): readonly RowAttack[] {
  const edits = editsOfEntry(schema)
  const edit = (what: keyof typeof edits, n: number, name: string, finding: string): RowAttack => ({
    ...{ name, did: `another ${what} in entry ${n}, its hashes as they were`, finding, matches: at(n) },
    act: (query) => query(edits[what], [n]),
  })
  return [
    edit('payload', 300, 'edits a payload', 'PAYLOAD_CORRUPT'),
    edit('time', 320, 'edits the time of an entry', 'LEAF_MISMATCH'),
    edit('address', 340, 'edits the address of a client', 'LEAF_MISMATCH'),
    edit('identity', 360, 'gives an entry to another writer', 'LEAF_MISMATCH'),
    {
      name: 'moves text across a separator of the chain',
      did: `actor and action of entry ${separatorAt}; its chain hash stays right`,
      finding: 'LEAF_MISMATCH',
      act: (query, of) => moveAcrossSeparator(query, of, separatorAt),
      matches: at(separatorAt),
    },
    {
      name: 'deletes in the middle',
      did: 'entry 400',
      finding: 'GAP_IN_SEQUENCE',
      act: (query, of) => deleteEntry(query, of, 400),
      matches: at(400),
    },
    {
      name: 'swaps two rows',
      did: 'entries 500 and 501 get each other\u2019s place',
      finding: 'CHAIN_HASH_BROKEN',
      act: (query, of) => swapWithNext(query, of, 500),
      matches: at(500),
    },
    {
      name: 'rewrites the first entry',
      did: 'entry 1 follows something',
      finding: 'GENESIS_TAMPER',
      act: (query, of) => rewriteFirst(query, of),
    },
    {
      name: 'gives an entry the id of another',
      did: 'entry 601 has the id of entry 600',
      finding: 'IDEMPOTENCY_CONFLICT',
      act: (query, of) => takeIdOf(query, of, 601, 600),
    },
    {
      name: 'alters a tile of the tree',
      did: 'one hash of tile 0/3',
      finding: 'TILE_MISMATCH',
      act: (query, of) => alterTile(query, of, 3),
    },
    {
      name: 'alters a signed checkpoint',
      did: 'the time of checkpoint 2',
      finding: 'SIGNATURE_INVALID',
      act: (query, of) => alterCheckpoint(query, of, 2),
    },
  ]
}

export const rows: Stage = {
  name: 'rows',
  run: async (lab, bench) => {
    const copy = await lab.copy('rows')
    await bench.serveVerified(copy)
    const carriedOut = await copy.asSuperuser((query) =>
      undefended(query, schema, async () => {
        const done: { attack: Attack; matches: RowAttack['matches']; doneAt: number }[] = []
        for (const { name, did, finding, act, matches } of rowAttacks(lab)) {
          await act(query, schema)
          const attack: Attack = { name, as: 'superuser', did, catcher: byServer, finding }
          done.push({ attack, matches, doneAt: performance.now() })
        }
        return done
      }),
    )
    return Promise.all(
      carriedOut.map(
        ({ attack, matches, doneAt }): Promise<Outcome> => awaitAlarm(lab, bench, copy, attack, doneAt, matches),
      ),
    )
  },
}
