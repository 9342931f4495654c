/** Logs that somebody tampers with, and what the verifier says of them. */
import { join } from 'node:path'
import type { Client } from 'pg'
import { readExpectedSchema } from '../../src/audit/expected-schema.ts'
import type { KnownHead } from '../../src/audit/outside-check.ts'
import { createResultBuffers } from '../../src/audit/range-buffers.ts'
import { openRangeWork } from '../../src/audit/range-work.ts'
import { reportOf, type VerificationReport } from '../../src/audit/report.ts'
import { SchemaCheck } from '../../src/audit/schema-check.ts'
import { signatureReview } from '../../src/audit/signature-review.ts'
import { type VerifyOptions, verifyLedger } from '../../src/audit/verify-ledger.ts'
import type { LogKeys } from '../../src/log/log-keys.ts'
import { isSealed } from '../../src/log/seal.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { openReadSession } from '../../src/store/copy-out.ts'
import { formatHex, parseBase64 } from '../../tlog/bytes.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import type { TestDatabase } from './database.ts'
import { asSuperuser } from './database-copy.ts'
import { migrationsFolder } from './described-schema.ts'
import { origin, schema } from './log.ts'

/** Of the tests' databases, which have the default names. */
export async function openSchemaCheck(): Promise<SchemaCheck> {
  const expected = await readExpectedSchema(join(migrationsFolder, 'schema.json'))
  return new SchemaCheck(expected, { schema: schema.evidence, prefix: '' })
}

/** Verifies the whole ledger by one connection, with the log's keys. */
export async function verify(
  database: TestDatabase,
  keys: LogKeys,
  known: readonly KnownHead[] = [],
  options: Partial<VerifyOptions> = {},
): Promise<VerificationReport> {
  const login = database.as('auditor_reader_role')
  const session = await openReadSession(login)
  const work = await openRangeWork(login, schema)
  try {
    const verification = await verifyLedger(
      {
        ...{ session, schema, sha256: nativeSha256, onProgress: () => {} },
        askOutside: async () => ({ known, findings: [], notAsked: [] }),
        ranges: {
          checkAll: async (jobs, join) => {
            for (const job of jobs) await join(await work.check({ ...job, buffers: createResultBuffers() }))
          },
        },
        isSealed: (head) => isSealed(keys.sealKey, origin, head),
        review: signatureReview(parseVkey(keys.vkey), parseBase64(keys.sthPublicKey)),
        schemaCheck: await openSchemaCheck(),
        ...options,
      },
      new AbortController().signal,
    )
    return reportOf(verification, formatHex(verification.root), [], 0)
  } finally {
    await Promise.all([session.close(), work.close()])
  }
}

/** What nobody but a superuser can do: with triggers and guard switched off, and on again when it is done. */
export async function tamper(
  database: TestDatabase,
  work: string | ((client: Client) => Promise<void>),
): Promise<void> {
  await asSuperuser(database, async (client) => {
    await client.query(switchTriggers('disable', 'disable'))
    if (typeof work === 'string') await client.query(work)
    else await work(client)
    await client.query(switchTriggers('enable always', 'enable always'))
  })
}

/** Of the guard first, or last: it would refuse. */
function switchTriggers(triggers: string, guards: string): string {
  const guard = `for name in select evtname from pg_event_trigger loop
      execute format('alter event trigger %I ${guards}', name);
    end loop;`
  const tables = `for name in
      select tgrelid::regclass || ' ${triggers} trigger ' || quote_ident(tgname)
      from pg_trigger
      where not tgisinternal
        and tgparentid = 0
        and tgrelid::regclass::text like 'security.%'
        and to_regclass(tgrelid::regclass::text) is not null
    loop
      execute 'alter table ' || name;
    end loop;`
  return `do $$ declare name text; begin ${triggers === 'disable' ? guard + tables : tables + guard} end $$`
}
