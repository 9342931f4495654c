import { defineConfig } from 'vitest/config'

/** Names that `npm test` does not look for: this suite needs SoftHSM, pkcs11js and an emulator of KMS (`.ci/run`). */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['*.elsewhere.ts'],
    testTimeout: 120_000,
    hookTimeout: 420_000,
  },
})
