import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  // Examples import the package by its name, as their readers will.
  resolve: {
    alias: {
      'dendrolog/client': join(import.meta.dirname, 'src/client/index.ts'),
      'dendrolog/rules': join(import.meta.dirname, 'src/rules/index.ts'),
      'dendrolog/tlog': join(import.meta.dirname, 'tlog/index.ts'),
    },
  },
  test: {
    include: ['test/**/*.test.ts'],
    // What takes long has a configuration of its own: the README's test command takes less than five minutes.
    exclude: ['test/**/*.slow.test.ts'],
    globalSetup: ['test/support/cluster.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 4,
  },
})
