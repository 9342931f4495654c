import { defineConfig, mergeConfig } from 'vitest/config'
import base from '../vitest.config.ts'

/** What mostly waits: time-outs of databases, of locks, of readers. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: [] } },
  defineConfig({ test: { include: ['test/**/*.slow.test.ts'] } }),
)
