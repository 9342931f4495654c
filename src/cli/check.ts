import { isBundle } from '../../tlog/bundle.ts'
import { parseBase64, parseHex } from '../../tlog/bytes.ts'
import { TlogError } from '../../tlog/errors.ts'
import { asHash, type Hash } from '../../tlog/hash.ts'
import { parseVkey, type VerifierKey } from '../../tlog/note-key.ts'
import { policyBytesMax } from '../../tlog/witness-policy.ts'
import { readRoots } from '../anchor/authorities-file.ts'
import type { Witnesses } from '../cosign/witnesses.ts'
import { readGivenFile, UnfitFile } from '../ops/given-file.ts'
import { describeResult, resultJson } from './check/describe.ts'
import { exitStatuses, type Known, type Result } from './check/result.ts'
import { type Command, type ExitStatus, parseArguments, printJson, printLine, UsageError } from './command.ts'
import { describeError } from './describe-error.ts'
import { readSthKey, readVkey, requireVkey, type VkeyValues, vkeyOptions } from './verifier-key.ts'

export const checkCommand: Command = {
  summary: 'check a receipt, proof or evidence offline',
  synopsis:
    'FILE|- (--vkey VKEY | --vkey-file FILE) [--policy FILE] [--roots FILE] [--anchor-log VKEY] [--leaf-hash HASH] [--from-root HASH] [--sth-key KEY] [--json]',
  help: `Checks, with nothing but the log's keys, what a server answered or \`prove\` or \`monitor\` wrote. Asks nobody.

  a receipt             that the entry is what its leaf says, that the leaf is in the tree, and that the log signed the
                        tree; of an act of the log itself (\`dendrolog.…\`) also that the log signed it
  an inclusion proof    (JSON, or a C2SP tlog-proof) that a leaf of this hash is in a tree that the log signed, or that
                        is the beginning of one
  a COSE receipt        (RFC 9942) one of the two; signed with the log's P-256 key, and about --leaf-hash or --from-root
  a consistency proof   (JSON) that a tree that the log signed begins with that of so many entries and this root
  evidence              (of \`monitor\`) whether the log signed what cannot be: two trees, times that go back, leaves that
                        no log may have. Then it does not hold, status 1; what only its finder saw is status 2

  --vkey VKEY       the log's verifier key, as \`init\` and GET /v1/log show it; take it from where you trust
  --vkey-file FILE  a file with it
  --policy FILE     a tlog-policy file: its witnesses must have cosigned the checkpoint, as its quorum says
  --roots FILE      PEM certificates whose time-stamp authorities you trust
  --anchor-log VKEY the verifier key of another log that you trust, into which checkpoints are put; may be given again
  --leaf-hash HASH  the hash that the leaf must have, in hex or base64. A proof of our servers carries the hash of its
                    leaf; one of others may not
  --from-root HASH  the root of the smaller tree, for a COSE receipt of consistency
  --sth-key KEY     the log's key of STHs, base64 of its SPKI, for COSE receipts and where evidence has an STH
  --json            {"holds", "code", "detail", "origin", "treeSize", "root", "leafIndex", "leafHash", "entry",
                    "isOwnAct", "consistency", "cosigned", "bundle"}: holds is true, or false (a check failed) or null (could not check) with
                    code and detail; what is not known is null

Exit status: 0 it holds, 1 it does not, 2 it could not be checked (no receipt or proof, no key, the key of another log,
an unknown format).`,
  stopMs: 0,
  run: check,
}

/** A receipt with the largest payload, its texts escaped, is below 8 MiB. */
const receiptBytesMax = 16 * 1_048_576

async function check(args: readonly string[]): Promise<ExitStatus> {
  const options = {
    ...vkeyOptions,
    'leaf-hash': { type: 'string' },
    'from-root': { type: 'string' },
    'sth-key': { type: 'string' },
    policy: { type: 'string' },
    roots: { type: 'string' },
    'anchor-log': { type: 'string', multiple: true },
    json: { type: 'boolean' },
  } as const
  const { values, positionals } = parseArguments(args, options, 1)
  const [file] = positionals
  if (file === undefined) throw new UsageError('want the file of a receipt, or - for standard input')
  requireVkey(values)
  const leaf = values['leaf-hash'] === undefined ? undefined : readHash('leaf-hash', values['leaf-hash'])
  const fromRoot = values['from-root'] === undefined ? undefined : readHash('from-root', values['from-root'])
  const sthKey = values['sth-key'] === undefined ? undefined : readSthKey(values['sth-key'])
  const result = await checkFile(
    file,
    values,
    { leaf, fromRoot, sthKey, logs: (values['anchor-log'] ?? []).map(readAnchorKey) },
    values,
  )
  if (values.json === true) printJson(resultJson(result))
  else printLine(describeResult(result))
  return exitStatuses[result.kind]
}

async function checkFile(
  file: string,
  vkey: VkeyValues,
  known: Known,
  { policy, roots: rootsFile }: { readonly policy?: string | undefined; readonly roots?: string | undefined },
): Promise<Result> {
  try {
    const key = await readVkey(vkey)
    const witnesses = policy === undefined ? undefined : await readPolicy(policy, key)
    const roots = rootsFile === undefined ? [] : await readRoots(rootsFile)
    const bytes = await readReceipt(file)
    // One or the other is loaded: that is a tenth of the time of a check.
    const judge = isBundle(bytes)
      ? (await import('./check/judge-bundle.ts')).judgeBundle
      : (await import('./check/judge.ts')).judgeBytes
    return nameNoJson(file, judge(bytes, key, { ...known, witnesses, roots }))
  } catch (error) {
    if (error instanceof TlogError) return { kind: 'unknown', code: error.code, detail: error.message }
    // Nothing but files was touched.
    const isOfFile = error instanceof UnfitFile || (error as NodeJS.ErrnoException).syscall !== undefined
    if (!isOfFile) throw error
    return { kind: 'unknown', code: 'cannot-read', detail: describeError(error) }
  }
}

async function readPolicy(file: string, key: VerifierKey): Promise<Witnesses> {
  const { openPolicy } = await import('./check/cosigned.ts')
  return openPolicy(await readGivenFile(file, policyBytesMax), key)
}

/** Where in a web page the JSON ends helps nobody. */
function nameNoJson(file: string, result: Result): Result {
  if (result.kind === 'holds' || result.code !== 'malformed-json') return result
  const name = file === '-' ? 'standard input' : file
  return {
    ...result,
    detail: `${name} is no receipt, proof or answer of a server: it is neither JSON nor a C2SP tlog-proof (${result.detail})`,
  }
}

function readAnchorKey(text: string): VerifierKey {
  try {
    return parseVkey(text.trim())
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw new UsageError(`--anchor-log: ${error.message}`)
  }
}

function readHash(option: string, text: string): Hash {
  try {
    return asHash(/^[0-9a-f]{64}$/.test(text) ? parseHex(text) : parseBase64(text))
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw new UsageError(`--${option}: want 32 bytes in hex or base64: ${error.message}`)
  }
}

async function readReceipt(file: string): Promise<Uint8Array> {
  if (file !== '-') return readGivenFile(file, receiptBytesMax)
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of process.stdin) {
    chunks.push(chunk as Buffer)
    bytes += (chunk as Buffer).length
    if (bytes > receiptBytesMax) throw new UnfitFile(`standard input: has more than ${receiptBytesMax} bytes`)
  }
  return Buffer.concat(chunks)
}
