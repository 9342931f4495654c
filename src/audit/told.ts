import type { KnownFinding } from './verifier-state.ts'

/** More are not told one by one: who altered so many altered all. */
const findingsMax = 10_000

/** What a verifier has told: each finding once, over all of its starts. */
export class Told {
  #findings: readonly KnownFinding[]
  #keys: Set<string>
  /** Since they were kept last: nobody else can know of them. */
  #unkept: KnownFinding[] = []

  constructor(findings: readonly KnownFinding[]) {
    this.#findings = findings
    this.#keys = new Set(findings.map(({ key }) => key))
  }

  get findings(): readonly KnownFinding[] {
    return this.#findings
  }

  get hasUnkept(): boolean {
    return this.#unkept.length > 0
  }

  takes(key: string): boolean {
    return !this.#keys.has(key) && this.#keys.size < findingsMax
  }

  add(finding: KnownFinding): void {
    this.#keys.add(finding.key)
    this.#unkept.push(finding)
    this.#findings = [...this.#findings, finding]
  }

  kept(): void {
    this.#unkept = []
  }

  /** Takes over what somebody else kept meanwhile; gives what was forgotten there. */
  adopt(others: readonly KnownFinding[]): readonly KnownFinding[] {
    const keys = new Set(others.map(({ key }) => key))
    const unkept = new Set(this.#unkept)
    const forgotten = this.#findings.filter((finding) => !keys.has(finding.key) && !unkept.has(finding))
    this.#findings = [...others, ...this.#unkept.filter(({ key }) => !keys.has(key))]
    this.#keys = new Set(this.#findings.map(({ key }) => key))
    return forgotten
  }
}
