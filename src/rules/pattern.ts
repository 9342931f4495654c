/** Whether a text is of a pattern, or of one of several. */
export type TextTest = (text: string) => boolean

/** Of a pattern: UTF-16 units. */
export const patternUnitsMax = 512

type Token = 'any' | 'one' | { readonly text: string }

/**
 * A test of texts by patterns: `*` stands for any characters, none too, `?` for one, and a backslash makes the next
 * character stand for itself. Letters are told apart by case, and the whole text has to fit. It takes time of pattern
 * times text at most, whatever they are: rules look at texts of strangers. Undefined where a pattern ends in half of an
 * escape.
 */
export function compilePatterns(patterns: readonly string[]): TextTest | undefined {
  const literals = new Set<string>()
  const tests: TextTest[] = []
  for (const pattern of patterns) {
    const tokens = tokensOf(pattern)
    if (tokens === undefined) return undefined
    const literal = literalOf(tokens)
    if (literal === undefined) tests.push(testOf(tokens))
    else literals.add(literal)
  }
  if (tests.length === 0) return (text) => literals.has(text)
  return (text) => literals.has(text) || tests.some((test) => test(text))
}

/** What every text of the pattern begins with. */
export function literalStart(pattern: string): string {
  const [first] = tokensOf(pattern) ?? []
  return typeof first === 'object' ? first.text : ''
}

function tokensOf(pattern: string): readonly Token[] | undefined {
  const tokens: Token[] = []
  let text = ''
  const add = (token: Token): void => {
    if (text !== '') tokens.push({ text })
    text = ''
    if (token !== 'any' || tokens.at(-1) !== 'any') tokens.push(token)
  }
  for (let at = 0; at < pattern.length; at++) {
    const c = pattern.charAt(at)
    if (c === '*') add('any')
    else if (c === '?') add('one')
    else if (c !== '\\') text += c
    else if (++at === pattern.length) return undefined
    else text += pattern.charAt(at)
  }
  if (text !== '') tokens.push({ text })
  return tokens
}

function literalOf(tokens: readonly Token[]): string | undefined {
  const [first, second] = tokens
  if (first === undefined) return ''
  return second === undefined && typeof first === 'object' ? first.text : undefined
}

function testOf(tokens: readonly Token[]): TextTest {
  const [first, second, third] = tokens
  if (second === 'any' && third === undefined && typeof first === 'object') return (text) => text.startsWith(first.text)
  return (text) => fits(tokens, text)
}

/** Only the last `*` is ever taken back: what those before it took is as short as can be. */
function fits(tokens: readonly Token[], text: string): boolean {
  let [at, token] = [0, 0]
  let [starAt, starToken] = [0, -1]
  for (;;) {
    const next = tokens[token]
    if (next === undefined && at === text.length) return true
    if (next === 'any') {
      token++
      starAt = at
      starToken = token
      continue
    }
    const end = next === undefined ? -1 : endOf(next, text, at)
    if (end >= 0) {
      token++
      at = end
    } else if (starToken < 0 || starAt >= text.length) return false
    else {
      starAt += widthAt(text, starAt)
      at = starAt
      token = starToken
    }
  }
}

/** Behind what `token` takes of the text from `at` on; -1 where it does not fit. */
function endOf(token: { readonly text: string } | 'one', text: string, at: number): number {
  if (token === 'one') return at < text.length ? at + widthAt(text, at) : -1
  return text.startsWith(token.text, at) ? at + token.text.length : -1
}

/** UTF-16 units of the character there. */
function widthAt(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1
}
