import { type HttpAnswer, membersOf, textOf } from './http.ts'

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
