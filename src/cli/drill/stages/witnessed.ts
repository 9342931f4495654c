// Whoever holds database and keys still cannot make the witnesses say what they did not: another history has no quorum.
import { join } from 'node:path'
import { checkOnce, openLogClient } from '../../../client/index.ts'
import { type Attack, expectNotice, type Outcome } from '../attack.ts'
import type { Copy } from '../copy.ts'
import type { Lab } from '../lab.ts'
import { type DrillServer, until } from '../program.ts'
import type { Bench, Stage } from '../stage.ts'
import { type DrillWitness, refusalOf, startWitnesses, writePolicy } from '../witness.ts'
import { stoppedBy, submitMore } from './outside.ts'

const witnessedMs = 30_000
const before = { database: 'before', files: 'before' } as const
const byAuditor = { as: 'thief of the keys', catcher: 'dendrolog check --policy', finding: 'no-quorum' } as const

export const witnessed: Stage = {
  name: 'witnessed',
  run: async (lab, bench) => {
    const folder = join(lab.folder, 'witnesses')
    const [ours, fakes] = [
      await startWitnesses(folder, lab.vkey, bench.signal),
      await startWitnesses(`${folder}-of-a-thief`, lab.vkey, bench.signal),
    ]
    try {
      return await attackAll(lab, bench, ours, fakes)
    } finally {
      await Promise.all([...ours, ...fakes].map((each) => each.stop()))
    }
  },
}

async function attackAll(
  lab: Lab,
  bench: Bench,
  ours: readonly DrillWitness[],
  fakes: readonly DrillWitness[],
): Promise<readonly Outcome[]> {
  const policy = await writePolicy(join(lab.folder, 'policy'), lab.vkey, ours)
  const fakePolicy = await writePolicy(join(lab.folder, 'policy-of-a-thief'), lab.vkey, fakes)
  const honest = await bench.serve(under(await lab.copy('witnessed'), policy))
  const cosigned = await readWitnessed(honest, lab.size, bench)
  const judge = (name: string, proof: Proof): Promise<string | undefined> =>
    refusalOf(join(lab.folder, `${name}.json`), proof, lab.vkey, policy)
  const told = await judge('honest', await readProof(honest, 'witnessed'))
  if (told !== undefined) throw new Error(`witnessed: what three witnesses cosigned is refused: ${told}`)

  const thief = await bench.serve(await lab.copy('unwitnessed', before))
  await submitMore(thief, lab.size)
  const unwitnessed = await readProof(thief, 'published')
  const replayed = { ...unwitnessed, checkpoint: unwitnessed.checkpoint + cosignaturesOf(cosigned) }
  const friend = await bench.serve(under(await lab.copy('fake_witnesses', before), fakePolicy))
  await submitMore(friend, lab.size)
  await readWitnessed(friend, lab.size, bench)
  const faked = await readProof(friend, 'witnessed')

  const notice = (attack: Attack, proof: Proof): Promise<Outcome> =>
    expectNotice(
      attack,
      async () => {},
      async () => {
        const code = await judge(attack.name.replaceAll(/\W+/g, '-'), proof)
        return code === attack.finding ? code : undefined
      },
    )
  return [
    await byServerItself(lab, bench, policy),
    await notice({ ...byAuditor, ...rewrites }, unwitnessed),
    await notice({ ...byAuditor, ...replays }, replayed),
    await notice({ ...byAuditor, ...fakesWitnesses }, faked),
  ]
}

const rewrites = {
  name: 'rewrites history with the stolen keys, and shows it without the witnesses',
  did: 'a server on an older copy, other events, and a proof of it',
}
const replays = {
  name: 'puts cosignatures of the true history under another one',
  did: 'lines of the witnesses for a checkpoint of the same log',
}
const fakesWitnesses = {
  name: 'has witnesses of its own cosign, under the names of the true ones',
  did: 'three witnesses with other keys, and a policy that names them',
}

/** Its operator means well: the witnesses know more than database and memory. */
async function byServerItself(lab: Lab, bench: Bench, policy: string): Promise<Outcome> {
  const attack: Attack = {
    name: 'restores database and memory together, and asks the witnesses as before',
    as: 'operator',
    did: 'both as they were when the log had two thirds of its entries',
    catcher: 'the server, which takes and signs nothing',
    finding: 'WITNESS_REFUSED',
    orFinding: 'ROLLBACK',
  }
  const server = await bench.serve(under(await lab.copy('restored_witnessed', before), policy))
  const found = await expectNotice(attack, async () => {}, stoppedBy(server, attack, bench))
  return found
}

/** Two monitors, each content with what it is shown, compare what they have. */
export const splitView: Stage = {
  name: 'split_view',
  run: async (lab, bench) => {
    const attack: Attack = {
      name: 'shows two monitors two histories, each in order',
      as: 'thief of the keys',
      did: 'two servers with the same keys; each monitor asks one of them only',
      catcher: 'one monitor, which is given what the other saw',
      finding: 'FORKED',
    }
    const one = await bench.serve(await lab.copy('split_one'))
    const two = await bench.serve(await lab.copy('split_two', before))
    await submitMore(two, lab.size)
    const [first, second] = [one, two].map(({ url }) => openLogClient({ url, vkey: lab.vkey }))
    if (first === undefined || second === undefined) throw new Error('split_view: two clients')
    const look = async (client: typeof first, known: string | undefined): Promise<string> => {
      const options = { load: async () => known, save: async () => {}, olderMs: 0 }
      const check = await checkOnce(client, options, bench.signal)
      return check.kind === 'violated' ? check.finding.kind : check.kind
    }
    const alone = [await look(first, undefined), await look(second, undefined)]
    if (alone.includes(attack.finding)) throw new Error('split_view: a monitor alone knows of two histories')
    // The one whose log is longer can be shown to have another beginning.
    const { note } = await first.readSignedCheckpoint(bench.signal)
    return [
      await expectNotice(
        attack,
        async () => {},
        async () => {
          const found = await look(second, note)
          return found === attack.finding ? found : undefined
        },
      ),
    ]
  },
}

type Proof = { readonly checkpoint: string }

function under(copy: Copy, policy: string): Copy {
  return { ...copy, environment: { ...copy.environment, DENDROLOG_WITNESS_POLICY: policy } }
}

/** The newest checkpoint of at least `size` entries that the quorum has cosigned. */
async function readWitnessed({ url }: DrillServer, size: number, { signal }: Bench): Promise<string> {
  const found = await until(
    async () => {
      const answer = await fetch(`${url}/v1/checkpoints/witnessed`)
      const note = await answer.text()
      return answer.status === 200 && Number(note.split('\n')[1]) >= size ? note : undefined
    },
    witnessedMs,
    signal,
  )
  if (found === undefined) throw new Error('witnessed: the witnesses did not cosign')
  return found
}

async function readProof({ url }: DrillServer, under: 'published' | 'witnessed'): Promise<Proof> {
  const answer = await fetch(`${url}/v1/entries/1/proof?under=${under}`)
  if (answer.status !== 200) throw new Error(`witnessed: no proof: ${await answer.text()}`)
  return (await answer.json()) as Proof
}

/** Lines of cosigners: all but the first, which is the log's. */
function cosignaturesOf(note: string): string {
  const [, block = ''] = note.split('\n\n')
  return block.split('\n').slice(1).join('\n')
}
