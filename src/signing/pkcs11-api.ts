// What is used of pkcs11js. It is compiled when it is installed, and therefore left to those who have a token: its own types
// are not there without it.

export type Attribute = { readonly type: number; readonly value?: Buffer | number | string | boolean }

/** Functions of PKCS#11 (OASIS), section by section. They throw errors whose `code` is the return value. */
export type Pkcs11 = {
  load(path: string): void
  C_Initialize(): void
  C_GetSlotList(withToken: boolean): readonly Buffer[]
  C_GetTokenInfo(slot: Buffer): { readonly label: string }
  C_OpenSession(slot: Buffer, flags: number): Buffer
  C_CloseSession(session: Buffer): void
  C_Login(session: Buffer, user: number, pin: string): void
  C_FindObjectsInit(session: Buffer, template: readonly Attribute[]): void
  C_FindObjects(session: Buffer, max: number): readonly Buffer[]
  C_FindObjectsFinal(session: Buffer): void
  C_GetAttributeValue(
    session: Buffer,
    object: Buffer,
    template: readonly Attribute[],
  ): readonly { readonly value: Buffer }[]
  C_SignInit(session: Buffer, mechanism: { readonly mechanism: number }, key: Buffer): void
  C_Sign(session: Buffer, data: Buffer, out: Buffer): Buffer
}

export type Library = { readonly PKCS11: new () => Pkcs11 }

/** Rejects where it is not installed. */
export async function loadLibrary(): Promise<Library> {
  // Not known when types are checked.
  const name: string = 'pkcs11js'
  const { default: library } = (await import(name)) as { readonly default: Library }
  return library
}
