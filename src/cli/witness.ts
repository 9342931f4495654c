import { resolve } from 'node:path'
import { formatVkey, isKeyName } from '../../tlog/note-key.ts'
import {
  type Command,
  type ExitStatus,
  exitHolds,
  parseArguments,
  printJson,
  printLine,
  UsageError,
  visibleText,
} from './command.ts'
import {
  addLog,
  createWitness,
  openWitnessKeys,
  readLogs,
  type WitnessKeyKind,
  witnessKeyKinds,
} from './witness/folder.ts'
import { serveWitness } from './witness/serve.ts'

export const witnessCommand: Command = {
  summary: 'witness the logs of others: cosign what extends what was cosigned before (C2SP tlog-witness)',
  synopsis:
    'init --name NAME [--keys KINDS] | add-log VKEY [--url URL] | show | serve [--listen HOST:PORT]  [--data FOLDER] [--json]',
  help: `Needs no database and no log of its own, and knows of a log its verifier key alone. What it cosigned is durable in the
folder before it is answered: a witness that forgets may cosign two histories, and must be given up with its keys.

  init              makes the folder and two keys: Ed25519, and ML-DSA-44, which a quantum computer does not forge
    --name NAME     of the keys: a name without blanks and "+", as witness.example/w1
    --keys KINDS    ed25519, ml-dsa, or both separated by a comma, which is what is made unless said otherwise; with
                    ml-dsa a cosignature takes some 5 ms
  add-log VKEY      witnesses this log from the next start on; a further key of a log that is witnessed is one more
    --url URL       where it is, for whoever reads the list
  show              the verifier keys, for the policies of logs and clients, and the logs that are witnessed
  serve             POST /add-checkpoint for logs, GET /SHA-256-OF-THE-ORIGIN/checkpoint for monitors
    --listen HOST:PORT              127.0.0.1:7380; a proxy before it speaks TLS
  --data FOLDER     dendrolog-witness in the current folder, unless said otherwise
  --json            of init and show {"vkeys", "logs"}; of serve {"url", "vkeys", "logs"} once it listens`,
  run: runWitness,
}

const options = {
  data: { type: 'string', default: 'dendrolog-witness' },
  name: { type: 'string' },
  keys: { type: 'string' },
  url: { type: 'string' },
  listen: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

type Mode = 'init' | 'add-log' | 'show' | 'serve'

/** Options of one mode only. */
const modeOf = { name: 'init', keys: 'init', url: 'add-log', listen: 'serve' } as const

async function runWitness(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const { values, positionals } = parseArguments(args, options, 2)
  const [mode, vkey] = positionals
  if (!isMode(mode)) throw new UsageError('witness: want init, add-log, show or serve')
  if ((vkey !== undefined) !== (mode === 'add-log')) throw new UsageError('want add-log VKEY, and no more words else')
  for (const [option, of] of Object.entries(modeOf)) {
    if (values[option as keyof typeof modeOf] !== undefined && mode !== of)
      throw new UsageError(`--${option} is for ${of}`)
  }
  const { data: dataDir, json: isJson } = values
  if (mode === 'serve') {
    await serveWitness({ dataDir, ...readListen(values.listen ?? '127.0.0.1:7380') }, signal, (listening) => {
      if (isJson) printJson(listening)
      else printLine(`witness on ${listening.url}, of ${listening.logs} logs; ${listening.vkeys.join('\n  ')}`)
    })
    return exitHolds
  }
  if (mode === 'init') await createWitness(dataDir, readName(values.name), readKinds(values.keys))
  if (mode === 'add-log' && vkey !== undefined && !(await addLog(dataDir, vkey, values.url))) {
    throw new Error('this key of the log is there already')
  }
  return show(dataDir, isJson)
}

async function show(dataDir: string, isJson: boolean): Promise<ExitStatus> {
  const [keys, logs] = [await openWitnessKeys(dataDir), await readLogs(dataDir)]
  const vkeys = keys.map(({ key }) => formatVkey(key))
  const origins = logs.map(({ origin }) => origin)
  if (isJson) printJson({ vkeys, logs: origins })
  else {
    const known = origins.length === 0 ? 'none yet' : origins.map(visibleText).join(', ')
    printLine(
      `${vkeys.join('\n')}\nlogs: ${known}\nfolder: ${visibleText(resolve(dataDir))} (back it up, and never restore an older one)`,
    )
  }
  return exitHolds
}

function isMode(text: string | undefined): text is Mode {
  return text === 'init' || text === 'add-log' || text === 'show' || text === 'serve'
}

function readName(name: string | undefined): string {
  if (name === undefined || !isKeyName(name)) throw new UsageError('--name: want a name without blanks and "+"')
  return name
}

function readKinds(text: string | undefined): readonly WitnessKeyKind[] {
  if (text === undefined) return witnessKeyKinds
  const names = text.split(',')
  const kinds = witnessKeyKinds.filter((kind) => names.includes(kind))
  if (kinds.length === names.length) return kinds
  throw new UsageError(`--keys: want ${witnessKeyKinds.join(', ')}, or both separated by a comma`)
}

function readListen(text: string): { readonly host: string; readonly port: number } {
  const [, host = '', digits = ''] = /^(.+):(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  if (host === '' || port > 65_535) throw new UsageError('--listen: want HOST:PORT')
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port }
}
