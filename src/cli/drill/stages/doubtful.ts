// What is altered here is easily missed, or laid to something else: it was there before a verifier began, or there was a
// finding beside it already.
import { editsOfEntry, undefended } from '../../../store/drill/attacks.ts'
import { alterTileAndMids, makeUnreadable } from '../../../store/drill/hiding.ts'
import type { ToldAlarm } from '../alarm-receiver.ts'
import { type Attack, expectNotice, type Outcome } from '../attack.ts'
import type { Copy } from '../copy.ts'
import { type Lab, schema } from '../lab.ts'
import { runProgram } from '../program.ts'
import { awaitAlarm, type Bench, byServer, copyForBeginner, type Stage } from '../stage.ts'

const bySuperuser = { as: 'superuser', catcher: byServer } as const

const grownAt = 300

/** What is told once is told again where there is more of it. */
export const grownFinding: Stage = {
  name: 'grown_finding',
  run: async (lab, bench) => {
    const copy = await lab.copy('grown_finding')
    await bench.serve(copy)
    const editAndWait = async (n: number, name: string, told: string): Promise<Outcome> => {
      const did = `another payload in entry ${n}`
      const attack: Attack = { ...bySuperuser, name, did, finding: 'PAYLOAD_CORRUPT' }
      await copy.asSuperuser((query) =>
        undefended(query, schema, () => query(editsOfEntry(schema).payload, [n]).then(() => {})),
      )
      const matches = ({ detail }: ToldAlarm): boolean => detail.startsWith(told)
      return awaitAlarm(lab, bench, copy, attack, performance.now(), matches)
    }
    return [
      await editAndWait(grownAt, 'edits a payload, and waits until it is told', `entry ${grownAt}:`),
      await editAndWait(
        grownAt + 1,
        'edits the payload next to one that was told',
        `entries ${grownAt} to ${grownAt + 1}:`,
      ),
    ]
  },
}

export const unreadableRow: Stage = {
  name: 'unreadable_row',
  run: async (lab, bench) => {
    const { longAt } = lab
    const attack: Attack = {
      ...bySuperuser,
      name: 'takes away the part of a payload that stands beside the table',
      did: `the chunks of entry ${longAt}, which the database cannot read any more`,
      finding: 'PAYLOAD_CORRUPT',
    }
    const copy = await copyForBeginner(lab, 'unreadable_row')
    await copy.asSuperuser((query) => makeUnreadable(query, schema, longAt))
    const doneAt = performance.now()
    await bench.serve(copy)
    const isNamed = ({ sequenceNumber, detail }: ToldAlarm): boolean =>
      sequenceNumber === longAt && detail.includes('cannot be read')
    return [await awaitAlarm(lab, bench, copy, attack, doneAt, isNamed)]
  },
}

const tileIndex = 2

/** The rows must not be accused of what the tile says. */
export const alteredTile: Stage = {
  name: 'altered_tile',
  run: async (lab, bench) => {
    const attack: Attack = {
      ...bySuperuser,
      name: 'alters a tile of the tree before a verifier begins',
      did: `one hash of tile 0/${tileIndex}, and the nodes half-way up as they follow from it`,
      finding: 'TILE_MISMATCH',
    }
    const copy = await copyForBeginner(lab, 'altered_tile')
    await copy.asSuperuser((query) => undefended(query, schema, () => alterTileAndMids(query, schema, tileIndex)))
    const doneAt = performance.now()
    await bench.serve(copy)
    return [await tileAlone(lab, bench, copy, attack, doneAt), await passOverTile(attack, copy)]
  },
}

async function tileAlone(lab: Lab, bench: Bench, copy: Copy, attack: Attack, doneAt: number): Promise<Outcome> {
  const outcome = await awaitAlarm(lab, bench, copy, attack, doneAt)
  const accused = lab.receiver.alarmsOf(copy.name).filter(({ sequenceNumber }) => sequenceNumber !== null)
  if (outcome.caught === undefined || accused.length === 0) return outcome
  const seen = accused.map(({ violationType, detail }) => `${violationType} (${detail})`).join('; ')
  return { attack, caught: undefined, seen: `entries are accused: ${seen}` }
}

function passOverTile(attack: Attack, { environment }: Copy): Promise<Outcome> {
  return expectNotice(
    { ...attack, name: `${attack.name} (a whole pass)`, catcher: 'dendrolog verify --full' },
    async () => {},
    async () => {
      const { status, stdout } = await runProgram(['verify', '--full', '--json'], environment)
      const { findings } = JSON.parse(stdout) as { readonly findings: readonly { readonly violationType: string }[] }
      const said = findings.map(({ violationType }) => violationType).join(', ')
      return status === 1 && said === attack.finding ? said : undefined
    },
  )
}
