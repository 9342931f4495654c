import type { ProblemCode } from './problem.ts'
import { integer, type JsonSchema, named, object, oneOf, text } from './schema.ts'

/** RFC 9457; `codes` where not every one can stand here. */
export function problemOf(codes?: readonly ProblemCode[]): JsonSchema {
  if (codes === undefined) return problem
  return { allOf: [problem, { properties: { code: oneOf(...codes) } }] }
}

const problem = named(
  'Problem',
  object(
    {
      type: { const: 'about:blank' },
      title: text,
      status: integer(400, 599),
      code: { type: 'string', description: 'Stable: programs key on it', pattern: '^[a-z-]+$' },
      detail: text,
      requestId: { type: 'string', description: 'Of the header X-Request-Id', maxLength: 128 },
    },
    {
      pointer: { type: 'string', description: 'JSON pointer (RFC 6901) of what is wrong in the body' },
      parameter: { type: 'string', description: 'Name of the parameter that is wrong' },
      sequenceNumber: integer(1),
    },
  ),
)
