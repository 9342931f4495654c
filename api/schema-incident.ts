import { closeReasonMax } from '../src/incident/incident-office.ts'
import {
  described,
  integer,
  type JsonSchema,
  listOf,
  type Members,
  named,
  object,
  oneOf,
  orNull,
  text,
  textOf,
  time,
  uuid,
} from './schema.ts'

// Incidents as `src/incident/incident-json.ts` makes them.

export const violationTypePattern: RegExp = /^[A-Z][A-Z0-9_]{0,63}$/
export const violationType: JsonSchema = { type: 'string', pattern: violationTypePattern.source }

const members: Members = {
  id: uuid,
  violationType,
  key: described('Type and place: of open incidents there is one a key', text),
  sequenceNumber: orNull(integer()),
  state: oneOf('open', 'closed'),
  detail: text,
  count: described('How often it was found since it was opened', integer(1)),
  firstSeen: time,
  lastSeen: time,
  openedAt: time,
  openedBy: text,
  closedAt: orNull(time),
  closedBy: orNull(text),
  closeReason: orNull(text),
}

export const listedIncident: JsonSchema = named('ListedIncident', object(members))

const contained: JsonSchema = object({ measure: text, isDone: { type: 'boolean' }, detail: text, at: time })

export const incident: JsonSchema = named(
  'Incident',
  object({
    ...members,
    evidence: described('Of the first time that it was found', { type: 'object' }),
    containment: described('What the server did about it on its own; null: nothing', orNull(listOf(contained))),
  }),
)

export const alarm: JsonSchema = named(
  'Alarm',
  object({
    id: uuid,
    incident: uuid,
    news: oneOf('opened', 'contained', 'closed'),
    hook: text,
    state: described('`dead`: given up', oneOf('pending', 'delivered', 'dead')),
    attempts: integer(),
    lastError: orNull(text),
    createdAt: time,
    settledAt: described('Of the delivery, or of giving up', orNull(time)),
  }),
)

export const closing: JsonSchema = named('Closing', {
  type: 'object',
  required: ['reason'],
  properties: {
    reason: described('What was done about it', { ...textOf(1, closeReasonMax), pattern: '\\S' }),
  },
  additionalProperties: false,
})
