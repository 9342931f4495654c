import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { readConfig } from '../config.ts'
import { type Listening, serve } from '../serve.ts'
import {
  type Command,
  type ExitStatus,
  exitHolds,
  parseArguments,
  printJson,
  printLine,
  visibleText,
} from './command.ts'
import { explainStart } from './explain-start.ts'

export const serveCommand: Command = {
  summary: 'serve the log; a first start makes it',
  synopsis: '[--json]',
  help: `Serves until SIGINT or SIGTERM, and then answers what was accepted. The first start on an empty data folder makes
database, keys, tokens and the log. Settings are environment variables: see \`dendrolog config\`.

  --json   once it listens: ready (true or false), problem (text or null), origin, url, vkey, ca (the file
           that clients must trust, where the certificate is self-signed, or null) and tokens (the file)`,
  // It ends by itself, when everything is answered.
  stopMs: Number.POSITIVE_INFINITY,
  run: explainStart(runServe),
}

/**
 * The old generation may grow by so much before it is collected; by default it grows to several times what is in use.
 * Measured with 2,048 connections: 286 MB of memory with 60, 328 with 100, 359 with 200, at the same rate. A million
 * entries of NDJSON take 76 collections with 60, 30 with 120, 12 with 200.
 */
const heapGrowth = '--heap-growing-percent=80'
/** MiB. For threads: this one took its size from the command line when it began, and theirs would be the same. */
const threadYoungHeap = '--max-semi-space-size=4'

async function runServe(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const { values } = parseArguments(args, { json: { type: 'boolean' } }, 0)
  setFlagsFromString(heapGrowth)
  setFlagsFromString(threadYoungHeap)
  try {
    await serve(readConfig(), signal, values.json ? announceJson : announce)
  } catch (error) {
    // Told to stop while it was starting: that is no failure.
    if (!signal.aborted || !(error instanceof Error) || error.name !== 'AbortError') throw error
  }
  return exitHolds
}

function announceJson({ problem, ca, ...listening }: Listening): void {
  printJson({ ready: problem === undefined, problem: problem ?? null, ...listening, ca: ca ?? null })
}

/** What a newcomer pastes next. Tokens are not shown: the command reads its own from the file. */
function announce({ problem, origin, url, vkey, ca, tokens }: Listening): void {
  if (problem !== undefined) {
    printLine(`\ndendrolog ${origin} is listening on ${url}, NOT ready: ${visibleText(problem)}`)
    printLine(`It looks again by itself; GET ${url}/readyz says when it is.\n`)
    return
  }
  const readToken = `JSON.parse(require('fs').readFileSync(process.argv[1])).writer`
  const token = `$(node -p "${readToken}" ${quoteForShell(tokens)})`
  const trust = ca === undefined ? '' : `--cacert ${quoteForShell(ca)} `
  const program = `node ${quoteForShell(fileURLToPath(new URL('./main.js', import.meta.url)))}`
  process.stdout.write(`
dendrolog ${origin} is ready on ${url}

Append an event and keep its receipt:

  curl -sS --fail-with-body ${trust}${url}/v1/entries -H "Authorization: Bearer ${token}" -H 'Content-Type: application/json' \\
    -d '{"actorId":"alice","action":"document.read","resource":"doc/1","payload":{"reason":"review"}}' > receipt.json

Check it, offline:

  ${program} check receipt.json --vkey ${quoteForShell(vkey)}

`)
}

function quoteForShell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
