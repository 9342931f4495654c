/** Who attacks, with what. */
export type Attacker =
  | 'client'
  | 'application role'
  | 'owner'
  | 'superuser'
  | 'thief of a login'
  | 'thief of the keys'
  | 'operator'

export type Attack = {
  readonly name: string
  readonly as: Attacker
  /** What it does, in a line. */
  readonly did: string
  /** Who must tell of it, and with what word. */
  readonly catcher: string
  readonly finding: string
  /** A word that is as right, where it depends on what the log did first. */
  readonly orFinding?: string
}

export type Outcome = {
  readonly attack: Attack
  /** Undefined: nobody noticed. */
  readonly caught: { readonly afterMs: number; readonly detail: string } | undefined
  /** What was seen instead, where nobody noticed. */
  readonly seen: string | undefined
}

/** An attack that must not succeed: `work` must reject with what `isRefusal` knows. */
export async function expectRefusal(
  attack: Attack,
  work: () => Promise<unknown>,
  isRefusal: (error: unknown) => boolean,
): Promise<Outcome> {
  const startedAt = performance.now()
  try {
    await work()
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    if (!isRefusal(error)) return { attack, caught: undefined, seen: detail }
    return { attack, caught: { afterMs: performance.now() - startedAt, detail }, seen: undefined }
  }
  return { attack, caught: undefined, seen: 'it was done, and nobody refused it' }
}

/** An attack that succeeds, and that `notice` must resolve with words about; undefined where it gave up. */
export async function expectNotice(
  attack: Attack,
  work: () => Promise<unknown>,
  notice: () => Promise<string | undefined>,
): Promise<Outcome> {
  await work()
  const doneAt = performance.now()
  const detail = await notice()
  if (detail === undefined) return { attack, caught: undefined, seen: 'nothing' }
  return { attack, caught: { afterMs: performance.now() - doneAt, detail }, seen: undefined }
}
