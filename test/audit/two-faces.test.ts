import { expect, test } from 'vitest'
import { tamper, verify } from '../support/audit.ts'
import { copyOf } from '../support/database-copy.ts'
import { createTestLog, recordsOf, submit } from '../support/log.ts'

/** A type that the auditors' role meets under the name of PostgreSQL's own, and that shows them what was there before. */
const secondFace = `
  create schema evil;
  grant usage on schema evil to public;
  create table evil.kept as select payload from security.audit_logs where sequence_number = 7;
  grant select on evil.kept to public;
  create type evil.jsonb;
  create function evil.jin(cstring) returns evil.jsonb language internal immutable strict as 'jsonb_in';
  create function evil.jout(evil.jsonb) returns cstring language internal immutable strict as 'jsonb_out';
  create function evil.jsend(evil.jsonb) returns bytea language internal immutable strict as 'jsonb_send';
  create type evil.jsonb (input = evil.jin, output = evil.jout, send = evil.jsend, like = pg_catalog.jsonb);
  create function evil.show(pg_catalog.jsonb) returns evil.jsonb language plpgsql as $$
    declare shown pg_catalog.jsonb := $1;
    begin
      if shown ? 'evil' then select payload into shown from evil.kept; end if;
      return evil.jin(pg_catalog.jsonb_out(shown));
    end $$;
  create cast (pg_catalog.jsonb as evil.jsonb) with function evil.show(pg_catalog.jsonb);
  do $$ begin
    execute format('alter role auditor_reader_role in database %I set search_path = evil, pg_catalog', current_database());
  end $$;`

test('a database that has other types for the auditors shows them no other rows', async () => {
  const home = await createTestLog()
  const running = await home.start()
  await submit(running.log, recordsOf(0, 20))
  await running.log.waitForCheckpoint(20)
  await running.stop()
  const copy = await copyOf(home.database)
  try {
    await tamper(
      copy,
      `${secondFace} update security.audit_logs set payload = '{"evil": true}' where sequence_number = 7`,
    )
    const { findings } = await verify(copy, home.keys)
    expect(findings).toMatchObject([
      { violationType: 'PAYLOAD_CORRUPT', sequenceNumber: 7, fields: 'payload' },
      { violationType: 'SCHEMA_TAMPERED', object: 'setting search_path of role auditor_reader_role' },
    ])
  } finally {
    await copy.drop()
    await home.drop()
  }
})
