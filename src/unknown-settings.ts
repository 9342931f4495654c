/** A variable that begins like our settings and is none, with the setting that may be meant. */
export type UnknownSetting = { readonly name: string; readonly nearest: string | undefined }

const ourPrefix = 'DENDROLOG_'
const databaseUrl = 'DATABASE_URL'

/** Of the names that are set, those that are not `known` but nearly: a mistyped setting would be passed over in silence. */
export function unknownAmong(names: readonly string[], known: readonly string[]): readonly UnknownSetting[] {
  return names
    .filter((name) => !known.includes(name) && (name.startsWith(ourPrefix) || isNearlyDatabaseUrl(name)))
    .toSorted()
    .map((name) => ({ name, nearest: nearestOf(name, known) }))
}

/** Without it the server makes a database of its own. */
function isNearlyDatabaseUrl(name: string): boolean {
  return editDistance(name, databaseUrl) <= 2
}

/** The known name that is the nearest by what stands behind the prefix; undefined where none is near. */
function nearestOf(name: string, known: readonly string[]): string | undefined {
  const distances = known.map((each) => editDistance(withoutPrefix(name), withoutPrefix(each)))
  const least = Math.min(...distances)
  return least <= withoutPrefix(name).length / 3 ? known[distances.indexOf(least)] : undefined
}

function withoutPrefix(name: string): string {
  return name.startsWith(ourPrefix) ? name.slice(ourPrefix.length) : name
}

/** Levenshtein's: characters to insert, remove or replace. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, j) => j)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[to.length] ?? 0
}
