import { join } from 'node:path'
import { readExpectedSchema } from '../../audit/expected-schema.ts'
import { SchemaCheck } from '../../audit/schema-check.ts'
import type { Config } from '../../config.ts'
import { migrationsFolder } from '../../instance.ts'

/** Compares the schema of the settings with the one that this program's migrations make. */
export async function openSchemaCheck({ schema, rolePrefix: prefix }: Config): Promise<SchemaCheck> {
  return new SchemaCheck(await readExpectedSchema(join(migrationsFolder, 'schema.json')), { schema, prefix })
}
