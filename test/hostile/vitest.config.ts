import { defineConfig } from 'vitest/config'

/**
 * Names that `npm test` does not look for: this suite takes minutes, and measures rates, for which it wants the machine to
 * itself. It starts its own servers and PostgreSQL.
 */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['*.hostile.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    fileParallelism: false,
  },
})
