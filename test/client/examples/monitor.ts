// Watches a log from a file with the last checkpoint, and looks at every new entry. Run it where the log's operator
// cannot reach it: it is what notices a rewritten log.
import { readFile, rename, writeFile } from 'node:fs/promises'
import { monitor, openLogClient } from 'dendrolog/client'
import { decodeLeaf } from 'dendrolog/tlog'
import type { Settings } from './submit.ts'

export async function watch(
  settings: Settings,
  file: string,
  print: (line: string) => void,
  stop: AbortSignal,
): Promise<void> {
  const log = openLogClient(settings)
  const options = {
    intervalMs: 1_000,
    load: () => readFile(file, 'utf8').catch(nothingYet),
    save: async (note: string) => {
      await writeFile(`${file}.new`, note, { flush: true })
      await rename(`${file}.new`, file)
    },
    takeLeaves: async (leaves: readonly Uint8Array[]) => {
      for (const { sequenceNumber, actorId, action } of leaves.map(decodeLeaf))
        print(`${sequenceNumber} ${actorId} ${action}`)
    },
  }
  for await (const check of monitor(log, options, stop)) {
    switch (check.kind) {
      case 'violated':
        // Evidence: show both notes to others before you ask the log's operator.
        print(`ALARM ${check.finding.kind}`)
        return
      case 'unchecked':
        print(`not checked: ${check.error.message}`)
        break
      case 'advanced':
        print(`in order up to size ${check.to.checkpoint.size}`)
        break
      case 'unchanged':
        break
    }
  }
}

function nothingYet(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
