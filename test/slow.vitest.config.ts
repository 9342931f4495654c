import { defineConfig, mergeConfig } from 'vitest/config'
import base from '../vitest.config.ts'

/** What takes long: kills, and time-outs of databases, locks and readers. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: [] } },
  defineConfig({ test: { include: ['test/**/*.slow.test.ts'] } }),
)
