// Makes an Ed25519 key "note" and a P-256 key "sth" in the token "dendrolog": MODULE PIN.
import pkcs11 from 'pkcs11js'

const [modulePath, pin] = process.argv.slice(2)
const eddsa = { pair: 0x1055, oid: Buffer.from('06032b6570', 'hex') }
const ecdsa = { pair: pkcs11.CKM_EC_KEY_PAIR_GEN, oid: Buffer.from('06082a8648ce3d030107', 'hex') }
const module = new pkcs11.PKCS11()
module.load(modulePath)
module.C_Initialize()
const slot = module.C_GetSlotList(true).find((each) => module.C_GetTokenInfo(each).label.trim() === 'dendrolog')
const session = module.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)
module.C_Login(session, pkcs11.CKU_USER, pin)
for (const [label, { pair, oid }] of Object.entries({ note: eddsa, sth: ecdsa })) {
  const common = [
    { type: pkcs11.CKA_TOKEN, value: true },
    { type: pkcs11.CKA_LABEL, value: label },
  ]
  module.C_GenerateKeyPair(
    session,
    { mechanism: pair },
    [...common, { type: pkcs11.CKA_VERIFY, value: true }, { type: pkcs11.CKA_EC_PARAMS, value: oid }],
    [...common, { type: pkcs11.CKA_SIGN, value: true }, { type: pkcs11.CKA_PRIVATE, value: true }],
  )
}
module.C_Logout(session)
module.C_CloseSession(session)
module.C_Finalize()
