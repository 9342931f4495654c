/** Text of others as a database and JSON take it: at most so many UTF-16 units, no lone surrogates, no U+0000. */
export function storableText(text: string, charactersMax: number): string {
  return text.slice(0, charactersMax).toWellFormed().replaceAll('\0', '\ufffd')
}
