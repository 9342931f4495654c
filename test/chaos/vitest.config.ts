import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/** Names that `npm test` does not look for: minutes of servers that are killed and stopped. Needs `npm run build`. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['*.chaos.ts'],
    globalSetup: [join(import.meta.dirname, '..', 'support', 'cluster.ts')],
    testTimeout: 180_000,
    hookTimeout: 60_000,
    // What is measured is not to share the machine with another file.
    fileParallelism: false,
  },
})
