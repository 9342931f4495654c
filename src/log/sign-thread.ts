// The thread behind `signingThread`: keys, memory and the signer's own login.
import { workerData } from 'node:worker_threads'
import { nativeSha256 } from '../ops/native-sha256.ts'
import { unlockBy } from '../ops/passphrase.ts'
import { serveCalls } from '../ops/thread-calls.ts'
import { openPool } from '../store/session.ts'
import { openCell } from './cell-place.ts'
import { openKeys } from './log-keys.ts'
import { Signer } from './signer.ts'
import type { SignRequest, SignSetup } from './signing-thread.ts'

const {
  origin,
  keysFolder,
  passphraseCommand,
  cell: place,
  config,
  schema,
  statementTimeoutMs,
} = workerData as SignSetup

await serveCalls(async () => {
  const { sealKey, signing: keys } = await openKeys(keysFolder, origin, unlockBy(passphraseCommand))
  const pool = openPool(config, 2, statementTimeoutMs)
  const cell = openCell(place, origin)
  const close = async (): Promise<void> => {
    await Promise.all([pool.close(), cell.close()])
  }
  let signer: Signer | undefined
  const opened = async (): Promise<Signer> => {
    signer ??= await Signer.open({ origin, sealKey, keys, cell, query: pool.query, schema, hash: nativeSha256 })
    return signer
  }
  return {
    answer: async (request: SignRequest) => {
      const signing = await opened()
      if (request.kind === 'sign') await signing.sign(request.nowMs, request.resignAfterMs)
      return signing.last
    },
    close,
  }
})
