import { expect, test } from 'vitest'
import { isSealedSecret, openSecret, SealedSecretError, sealSecret } from '../../src/ops/secret-box.ts'

test('what is sealed is opened by its passphrase and name, and by no other', async () => {
  const sealed = await sealSecret('note-key', 'the secret\n', 'right')
  expect(isSealedSecret(sealed)).toBe(true)
  expect(sealed).not.toContain('the secret')
  expect(await openSecret('note-key', sealed, 'right')).toBe('the secret\n')
  for (const [name, passphrase] of [
    ['note-key', 'wrong'],
    ['seal-key', 'right'],
  ] as const) {
    await expect(openSecret(name, sealed, passphrase)).rejects.toThrow(SealedSecretError)
  }
})

test('two boxes of one text differ in all that is random', async () => {
  const boxes = await Promise.all([sealSecret('x', 'y', 'z'), sealSecret('x', 'y', 'z')])
  const [a, b] = boxes.map((box) => JSON.parse(box) as Record<string, unknown>)
  for (const name of ['salt', 'nonce', 'ciphertext']) expect(a?.[name]).not.toBe(b?.[name])
})

test('every byte of one is part of it', async () => {
  const sealed = JSON.parse(await sealSecret('x', 'text', 'z')) as Record<string, string | number>
  for (const name of ['salt', 'nonce', 'ciphertext']) {
    const bytes = Buffer.from(String(sealed[name]), 'base64')
    for (const i of [0, bytes.length - 1]) {
      const altered = Buffer.from(bytes)
      altered[i] = (altered[i] as number) ^ 1
      const box = JSON.stringify({ ...sealed, [name]: altered.toString('base64') })
      await expect(openSecret('x', box, 'z')).rejects.toThrow('the passphrase does not open it')
    }
  }
})

test.each([
  ['more memory than any of ours', { n: 2 ** 24 }],
  ['no power of two', { n: 30_000 }],
  ['too many rounds', { p: 1_000 }],
  ['another format', { format: 'dendrolog/sealed-secret/9' }],
  ['no number', { r: '8' }],
])('%s is refused before anything is computed', async (_, altered) => {
  const sealed = { ...(JSON.parse(await sealSecret('x', 'text', 'z')) as object), ...altered }
  await expect(openSecret('x', JSON.stringify(sealed), 'z')).rejects.toThrow(/memory or time|is no sealed secret/)
})
