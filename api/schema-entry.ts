import {
  actionPointsMax,
  actorIdPointsMax,
  clientIpPointsMax,
  type memberNames,
  payloadBytesMax,
  payloadDepthMax,
  requiredNames,
  reservedAction,
  resourcePointsMax,
} from '../src/ingest/record.ts'
import {
  anyOf,
  base64,
  checkpointNote,
  described,
  hexHash,
  inclusionProof,
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

// Submissions, made of the limits that `src/ingest` checks them with, and what the log makes of them.

const submitted: Readonly<Record<(typeof memberNames)[number], JsonSchema>> = {
  id: described('UUIDv7 (RFC 9562): send one to make retries harmless', {
    ...uuid,
    pattern: '^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-7[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}$',
  }),
  actorId: textOf(1, actorIdPointsMax),
  action: {
    ...textOf(1, actionPointsMax),
    not: { pattern: `^${reservedAction.replaceAll('.', '\\.')}` },
    description: `\`${reservedAction}\` begins the log's own actions`,
  },
  resource: textOf(1, resourcePointsMax),
  payload: {
    type: 'object',
    description: `At most ${payloadBytesMax} bytes of RFC 8785 text, ${payloadDepthMax} levels deep, itself counted`,
  },
  clientIp: described('IPv4 or IPv6 without a zone; without it the address of the peer', textOf(2, clientIpPointsMax)),
  occurredAt: described('RFC 3339 with at most six fractional digits, 1970 to 2254: the time of your clock', time),
  lamport: described('Your logical clock', integer()),
}

export const submission: JsonSchema = named('Submission', {
  type: 'object',
  required: requiredNames,
  properties: submitted,
  additionalProperties: false,
})

const entryMembers: Members = {
  sequenceNumber: integer(1),
  id: uuid,
  timestamp: described("The log's own time", time),
  occurredAt: orNull(time),
  lamport: orNull(integer()),
  actorId: text,
  action: text,
  resource: text,
  clientIp: text,
  writer: text,
  sourcePosition: orNull(text),
  payloadHash: hexHash,
  previousHash: hexHash,
  currentHash: hexHash,
  leafHash: hexHash,
  payload: { type: 'object' },
}

export const entry: JsonSchema = named('Entry', object(entryMembers))

/** Of what waits for no checkpoint. */
const loggedEntry: JsonSchema = named('LoggedEntry', object({ entry }))

const receipt: JsonSchema = named(
  'Receipt',
  object({ entry, leaf: base64, inclusionProof, checkpoint: checkpointNote }),
)

const recordResult: JsonSchema = named(
  'RecordResult',
  object(
    {
      i: described('Place of the record in the request, from 0', integer()),
      status: oneOf('duplicate', 'quarantined'),
      code: text,
      detail: text,
    },
    { pointer: text, sequenceNumber: integer(1), quarantineId: uuid },
  ),
)

const batchResult: JsonSchema = named(
  'BatchResult',
  object(
    {
      accepted: integer(),
      duplicates: integer(),
      quarantined: integer(),
      firstIndex: orNull(integer()),
      lastIndex: orNull(integer()),
      results: listOf(recordResult),
    },
    { unlisted: object({ quarantined: integer(1), quarantineIds: listOf(uuid) }) },
  ),
)

export const single: JsonSchema = anyOf(receipt, loggedEntry)
export const singleOrBatch: JsonSchema = anyOf(receipt, loggedEntry, batchResult)
