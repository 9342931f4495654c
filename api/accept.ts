// RFC 9110 12.4.2 and 12.5: what a client would rather have.

/**
 * The one of `offered`, the dearest first, that `accept` gives the highest weight; undefined where it takes none of them.
 * Of a media range nothing but the weight is looked at: `application/json; charset=utf-8` is JSON.
 */
export function chooseType<T extends string>(accept: string, offered: readonly T[]): T | undefined {
  const weights = weightsOf(accept)
  const weightOf = (type: string): number =>
    weights.get(type) ?? weights.get(`${type.split('/', 1)[0]}/*`) ?? weights.get('*/*') ?? 0
  let best: T | undefined
  for (const type of offered) {
    if (weightOf(type) > (best === undefined ? 0 : weightOf(best))) best = type
  }
  return best
}

/** Named, or covered by `*`, and not with weight 0. */
export function acceptsCoding(header: string | undefined, coding: string): boolean {
  const weights = weightsOf(header ?? '')
  return (weights.get(coding) ?? weights.get('*') ?? 0) > 0
}

/** By name in lower case; what has a weight that is none counts for nothing. */
function weightsOf(header: string): ReadonlyMap<string, number> {
  const weights = new Map<string, number>()
  for (const part of header.toLowerCase().split(',')) {
    const [name = '', ...parameters] = part.split(';').map((piece) => piece.trim())
    const weight = parameters.find((piece) => piece.startsWith('q='))?.slice(2) ?? '1'
    if (/^(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(weight)) weights.set(name, Number(weight))
  }
  return weights
}
