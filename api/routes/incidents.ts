import type { Context, Hono } from 'hono'
import { alarmJson, incidentJson, listedIncidentJson } from '../../src/incident/incident-json.ts'
import { closeReasonMax, isCloseReason } from '../../src/incident/incident-office.ts'
import { answerMembers, memberProblems } from '../answer-members.ts'
import { requireRole } from '../authenticate.ts'
import { deadlineIn } from '../deadline.ts'
import type { Env } from '../env.ts'
import { type Members, malformedBody } from '../json-body.ts'
import { describe, type Handler, jsonOrCbor, jsonType, type Operation } from '../operation.ts'
import {
  anyUuid,
  choice,
  decimal,
  type Kind,
  malformed,
  optional,
  readQuery,
  required,
  withDefault,
} from '../parameters.ts'
import { integer, listOf, object, orNull, uuid } from '../schema.ts'
import {
  alarm,
  closing as closingBody,
  incident,
  listedIncident,
  violationType,
  violationTypePattern,
} from '../schema-incident.ts'
import type { Server } from '../server.ts'

const limitDefault = 100
/** A detail has up to 16 KiB. */
const limitMax = 200
const deadLettersMax = 1_000
const notReadInTime = 'the incidents could not be read in time'
const notYetKnown = 'it is not known yet whether this was done: look at the incident'
const noStore = { 'cache-control': 'no-store' }

const anyViolationType: Kind<string> = {
  schema: violationType,
  parse: (text, parameter) => {
    if (violationTypePattern.test(text)) return text
    throw malformed(parameter, 'want 1 to 64 of A-Z 0-9 _, a letter first')
  },
}

const pathParameters = { id: required(anyUuid, 'Id of an incident') }
const listQuery = {
  state: optional(choice('open', 'closed'), 'Only those; without it all'),
  violationType: optional(anyViolationType, 'Only of this type, like `PAYLOAD_CORRUPT`'),
  cursor: optional(anyUuid, '`nextCursor` of the page before'),
  limit: withDefault(decimal(1, limitMax), limitDefault, 'Incidents of a page'),
}
const deadLettersQuery = { limit: withDefault(decimal(1, deadLettersMax), limitDefault, 'How many at most') }

const read = { who: 'incidents:read', query: {} } as const
const manage = { who: 'incidents:manage', query: {}, pathParameters, problems: ['no-such-incident'] } as const

const listing: Operation = {
  ...read,
  id: 'listIncidents',
  summary: 'Incidents, the newest first, in pages',
  query: listQuery,
  answers: {
    200: {
      doc: 'Without their evidence. Send `nextCursor` until it is null',
      content: jsonOrCbor(object({ incidents: listOf(listedIncident, limitMax), nextCursor: orNull(uuid) })),
    },
  },
}
const reading: Operation = {
  ...read,
  id: 'readIncident',
  summary: 'An incident, its evidence, and what hooks were told of it',
  pathParameters,
  answers: {
    200: { doc: 'The incident and its alarms', content: jsonOrCbor(object({ incident, alarms: listOf(alarm) })) },
  },
  problems: ['no-such-incident'],
}
const closing: Operation = {
  ...manage,
  id: 'closeIncident',
  summary: 'Close an incident for good; to close it again changes nothing',
  doc: 'The log has an entry of it, and the hooks that were told of its opening are told.',
  body: { [jsonType]: closingBody },
  answers: {
    200: { doc: 'The incident, as whoever was first closed it', content: jsonOrCbor(object({ incident })) },
  },
  problems: [...memberProblems, ...manage.problems],
}
const listingDead: Operation = {
  ...read,
  id: 'listDeadLetters',
  summary: 'Alarms that were given up, the oldest first',
  query: deadLettersQuery,
  answers: {
    200: { doc: 'With the last error of each', content: jsonOrCbor(object({ alarms: listOf(alarm, deadLettersMax) })) },
  },
}
const retrying: Operation = {
  ...manage,
  id: 'retryAlarms',
  summary: 'Have the alarms of an incident that were given up tried again',
  answers: { 200: { doc: 'How many are tried', content: jsonOrCbor(object({ retried: integer() })) } },
}

/** Incidents for on-call tools: what `dendrolog incident` shows and does, by tokens. */
export function routeIncidents(app: Hono<Env>, server: Server): void {
  const close: Handler = (c) =>
    answerMembers(server, c, manage.who, ['reason'], async (members, { identity }, deadline) => {
      const closing = server.incidents.close(readId(c), identity, readReason(members))
      return c.json({ incident: incidentJson(await deadline.within(closing, notYetKnown)) }, 200, noStore)
    })
  app.get(
    '/v1/incidents',
    describe(listing, (c) => answerIncidents(server, c)),
  )
  app.get(
    '/v1/incidents/dead-letters',
    describe(listingDead, (c) => answerDeadLetters(server, c)),
  )
  app.get(
    '/v1/incidents/:id',
    describe(reading, (c) => answerOne(server, c)),
  )
  app.post('/v1/incidents/:id/close', describe(closing, close))
  app.post(
    '/v1/incidents/:id/alarms/retry',
    describe(retrying, (c) => retry(server, c)),
  )
}

async function answerIncidents(server: Server, c: Context<Env>): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireRole(server, c, read.who, deadline)
  const { cursor, limit, ...filter } = readQuery(c, listQuery)
  const found = await deadline.within(server.incidents.listNewest(filter, cursor, limit + 1), notReadInTime)
  const incidents = found.slice(0, limit)
  const nextCursor = found.length > limit ? (incidents.at(-1)?.id ?? null) : null
  return c.json({ incidents: incidents.map(listedIncidentJson), nextCursor }, 200, noStore)
}

async function answerDeadLetters(server: Server, c: Context<Env>): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireRole(server, c, read.who, deadline)
  const { limit } = readQuery(c, deadLettersQuery)
  const alarms = await deadline.within(server.incidents.deadLetters(limit), notReadInTime)
  return c.json({ alarms: alarms.map(alarmJson) }, 200, noStore)
}

async function answerOne(server: Server, c: Context<Env>): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireRole(server, c, read.who, deadline)
  readQuery(c, {})
  const id = readId(c)
  const incident = await deadline.within(server.incidents.read(id), notReadInTime)
  const alarms = await deadline.within(server.incidents.alarmsOf(id), notReadInTime)
  return c.json({ incident: incidentJson(incident), alarms: alarms.map(alarmJson) }, 200, noStore)
}

async function retry(server: Server, c: Context<Env>): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireRole(server, c, manage.who, deadline)
  readQuery(c, {})
  return c.json({ retried: await deadline.within(server.incidents.retryOf(readId(c)), notYetKnown) }, 200, noStore)
}

function readReason({ reason }: Members): string {
  if (typeof reason === 'string' && isCloseReason(reason)) return reason
  throw malformedBody('/reason', `want 1 to ${closeReasonMax} characters: what was done about it`)
}

function readId(c: Context<Env>): string {
  return pathParameters.id.read(c.req.param('id'), 'id')
}
