/** `formatBase64` of tlog/bytes.ts by Node itself: of 32 bytes 0.2 us, JavaScript 0.7 us, and a proof has two dozen of them. */
export function nativeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
}
