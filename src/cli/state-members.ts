// Members of the files in which programs remember something. Each throws TypeError with what was wanted.

export function text(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError(`got ${typeof value}, want a string`)
  return value
}

/** 0 to 2^53-1. */
export function integer(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new TypeError('want an integer')
  return value as number
}
