import { type HttpAnswer, textOf } from './http.ts'

export const problemTextMax = 300

const names = ['code', 'detail', 'pointer', 'parameter'] as const

/** What a problem document (RFC 9457) of a log says; undefined what it does not say as a text. */
export type ProblemDocument = Readonly<Record<(typeof names)[number], string | undefined>>

/** The problem of an answer; without members where it is none. */
export function problemOf(answer: HttpAnswer): ProblemDocument {
  const members = membersOf(textOf(answer) ?? '')
  const [code, detail, pointer, parameter] = names.map((name) => {
    const value = members[name]
    return typeof value === 'string' ? value : undefined
  })
  return { code, detail, pointer, parameter }
}

/** Code and detail of a problem document (RFC 9457) as a line; undefined where `text` is none of ours. */
export function describeProblem(text: string): string | undefined {
  const { code, detail } = membersOf(text)
  const parts = [code, detail].filter((part) => typeof part === 'string')
  return parts.length === 0 ? undefined : parts.join(': ').slice(0, problemTextMax)
}

/** Members of a JSON object; none of anything else. */
export function membersOf(text: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text)) as Readonly<Record<string, unknown>>
  } catch {
    return {}
  }
}
