// What the database, or a server, does not do at all.
import { newEventId } from '../../../client/index.ts'
import { becomeOwner, changesOfProtection, changesOfRows } from '../../../store/drill/attacks.ts'
import type { Query } from '../../../store/session.ts'
import { type Attack, expectRefusal, type Outcome } from '../attack.ts'
import { type Lab, schema } from '../lab.ts'
import type { DrillServer } from '../program.ts'
import type { Bench, Stage } from '../stage.ts'

export const refused: Stage = {
  name: 'refused',
  run: async (lab, bench) => [...(await inDatabase(lab)), ...(await byServer(lab, bench))],
}

async function inDatabase(lab: Lab): Promise<Outcome[]> {
  const copy = await lab.copy('refused_database')
  const outcomes: Outcome[] = []
  for (const role of ['app_writer_role', 'auditor_reader_role', 'app_state_role'] as const) {
    const attack: Attack = {
      name: `updates, deletes and truncates as ${role}`,
      as: 'application role',
      did: changesOfRows(schema).join('; '),
      catcher: 'grants',
      finding: '42501 permission denied',
    }
    outcomes.push(await copy.as(role, (query) => refusedEach(attack, query, changesOfRows(schema))))
  }
  const owner: readonly [string, readonly string[], string, string][] = [
    ['updates, deletes and truncates', changesOfRows(schema), 'triggers', 'DL001 evidence is only ever inserted'],
    ['takes away what protects the rows', changesOfProtection(schema), 'event triggers', 'DL002 not without a permit'],
  ]
  for (const [name, statements, catcher, finding] of owner) {
    const attack: Attack = { name, as: 'owner', did: statements.join('; '), catcher, finding }
    outcomes.push(
      await copy.asSuperuser(async (query) => {
        await becomeOwner(query, schema)
        return refusedEach(attack, query, statements)
      }),
    )
  }
  return outcomes
}

/** Each of the statements must be refused, with the SQLSTATE of the attack's finding. */
async function refusedEach(attack: Attack, query: Query, statements: readonly string[]): Promise<Outcome> {
  let last: Outcome | undefined
  for (const statement of statements) {
    last = await expectRefusal(
      attack,
      () => query(statement),
      (error) => (error as { readonly code?: string }).code === attack.finding.split(' ')[0],
    )
    if (last.caught === undefined) return { ...last, seen: `${statement}: ${last.seen}` }
  }
  if (last === undefined) throw new Error(`${attack.name}: nothing was tried`)
  return last
}

async function byServer(lab: Lab, { serve }: Bench): Promise<Outcome[]> {
  const server = await serve(await lab.copy('refused_server'))
  const token = await server.token('writer')
  const event = { id: newEventId(), actorId: 'mallory', action: 'doc.read', resource: 'doc/1', payload: {} }
  const first = await post(server, token, event)
  if (first.status !== 201) throw new Error(`an event was not taken: ${first.code}`)
  const tries: readonly (readonly [string, string, object, string, string])[] = [
    [
      'submits an action of the log itself',
      'action dendrolog.token.made',
      { ...event, id: newEventId(), action: 'dendrolog.token.made' },
      token,
      'malformed-submission',
    ],
    [
      'sends an id again with other content',
      'an event again, with another payload',
      { ...event, payload: { other: true } },
      token,
      'idempotency-conflict',
    ],
    [
      'names itself somebody else',
      'a member writer in the event',
      { ...event, id: newEventId(), writer: 'token:admin' },
      token,
      'malformed-submission',
    ],
    ['makes up a token', 'Authorization: Bearer of nobody', event, `${token.slice(0, -4)}AAAA`, 'unauthenticated'],
    [
      'takes ids that servers make of foreign ones',
      'an id of UUID version 8',
      { ...event, id: newEventId().replace(/^(.{14})7/, '$18') },
      token,
      'malformed-submission',
    ],
  ]
  const outcomes: Outcome[] = []
  for (const [name, did, body, secret, finding] of tries) {
    const attack: Attack = { name, as: 'client', did, catcher: 'the server', finding }
    outcomes.push(
      await expectRefusal(
        attack,
        async () => {
          const { status, code, detail } = await post(server, secret, body)
          if (status >= 400) throw new Refusal(code ?? String(status), detail ?? '')
        },
        (error) => error instanceof Refusal && error.code === finding,
      ),
    )
  }
  return outcomes
}

class Refusal extends Error {
  readonly code: string
  constructor(code: string, detail: string) {
    super(`${code}: ${detail}`)
    this.code = code
  }
}

type Answer = { readonly status: number; readonly code?: string; readonly detail?: string }

async function post({ url }: DrillServer, token: string, body: object): Promise<Answer> {
  const answer = await fetch(`${url}/v1/entries`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const { code, detail } = (await answer.json()) as { readonly code?: string; readonly detail?: string }
  return { status: answer.status, ...(code === undefined ? {} : { code }), ...(detail === undefined ? {} : { detail }) }
}
