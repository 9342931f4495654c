import { join } from 'node:path'
import { expect, test } from 'vitest'
import { describeMigrations, migrationsFolder } from '../support/described-schema.ts'

// Written anew by `npx vitest run test/migrations/expected-schema.test.ts --update` when there is a migration more.

test('schema.json is what the migrations make, on this version of PostgreSQL', async () => {
  const text = `${JSON.stringify(await describeMigrations(), undefined, 2)}\n`
  await expect(text).toMatchFileSnapshot(join(migrationsFolder, 'schema.json'))
})
