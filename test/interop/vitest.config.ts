import { defineConfig } from 'vitest/config'

/** Names that `npm test` does not look for: this suite needs Go and minutes. It starts its own server and PostgreSQL. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['*.interop.ts'],
    testTimeout: 120_000,
    hookTimeout: 420_000,
  },
})
