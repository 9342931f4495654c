/**
 * The export list of `dendrolog/tlog`: what an auditor needs to check a log without its server. The folder's own files
 * import each other, never this one.
 */
export {
  type AddCheckpoint,
  addCheckpointBytesMax,
  formatAddCheckpoint,
  parseAddCheckpoint,
  sizeMediaType,
} from './add-checkpoint.ts'
export { concatBytes, equalBytes, formatBase64, formatHex, parseBase64, parseHex } from './bytes.ts'
export { chainHash, chainText, genesisHash } from './chain.ts'
export {
  type Checkpoint,
  type CheckpointBody,
  formatCheckpoint,
  type OpenedCheckpoint,
  openCheckpoint,
  parseCheckpoint,
} from './checkpoint.ts'
export {
  appendLeafHash,
  asCompactRange,
  type CompactRange,
  emptyRange,
  extendRange,
  rangeRoot,
} from './compact-range.ts'
export {
  asLeafIndex,
  asTreeSize,
  indexOfSequence,
  type LeafIndex,
  type LeafRange,
  parseDecimal,
  type SequenceNumber,
  sequenceOfIndex,
  type TreeNode,
  type TreeSize,
} from './coords.ts'
export {
  type CosignatureCheck,
  type CosigningKey,
  cosign,
  cosignatureTime,
  cosignatureVerifier,
  cosignSubtree,
  type Subtree,
} from './cosignature.ts'
export { decodeLeaf, encodeLeaf, type LeafFields, leafBytesMax, leafFormat } from './entry.ts'
export { bundleEntryBytesMax, decodeEntryBundle, encodeEntryBundle, tileOfEntryBundle } from './entry-bundle.ts'
export { entryMembers } from './entry-members.ts'
export { TlogError, type TlogErrorCode } from './errors.ts'
export {
  checkEvidence,
  type EvidenceFile,
  type EvidenceHead,
  type EvidenceJson,
  type EvidenceKeys,
  type EvidenceLeaf,
  type EvidencePrefix,
  type EvidenceVerdict,
  evidenceFormat,
  isEvidence,
} from './evidence.ts'
export {
  asHash,
  digest,
  emptyRoot,
  type Hash,
  hashBytes,
  leafHash,
  nobleSha256,
  nodeHash,
  type Sha256,
} from './hash.ts'
export { isIpAddress } from './ip-address.ts'
export { jcs } from './jcs.ts'
export { parseStrict } from './json-scan.ts'
export { Tape } from './json-tape.ts'
export {
  beforeFirstLeaf,
  type LeafFault,
  type LeafInOrder,
  type Payload,
  type Predecessor,
  predecessorOf,
  readLeafInOrder,
} from './leaf-order.ts'
export type { LogReader, TileReader } from './log-reader.ts'
export {
  formatNote,
  formatSignatureLine,
  mergeSignatures,
  type Note,
  type NoteSignature,
  type NoteSigner,
  type NoteVerifier,
  noteBytesMax,
  noteSignaturesMax,
  type OpenedNote,
  openNote,
  parseNote,
  parseSignatureLines,
  type SignatureCheck,
  signNote,
  textVerifier,
} from './note.ts'
export {
  cosignatureKeyType,
  ecdsaKeyType,
  ed25519KeyType,
  formatSkey,
  formatVkey,
  type KeyType,
  mlDsaKeyType,
  namedKey,
  namedSeed,
  parseSkey,
  parseVkey,
  type SeedPublicKey,
  type SignerKey,
  sthKeyType,
  type VerifierKey,
} from './note-key.ts'
export { checkOwnAct, formatOwnAct, type OwnAct, type OwnActEntry, ownActionPrefix, signOwnAct } from './own-act.ts'
export { buildConsistencyProof, buildInclusionProof } from './proof.ts'
export {
  checkProofFile,
  formatProofFile,
  leafHashOfExtra,
  type ProofFile,
  parseProofFile,
  proofFileHeader,
} from './proof-file.ts'
export {
  type ConsistencyJson,
  checkProofJson,
  type ExtensionJson,
  type InclusionJson,
  isProofJson,
  type ProvedConsistency,
  type ProvedLeaf,
} from './proof-json.ts'
export { type CheckedReceipt, checkReceipt, parseReceipt, receiptDepthMax } from './receipt.ts'
export {
  checkSth,
  decodeDigitallySigned,
  encodeDigitallySigned,
  encodeTreeHead,
  formatSth,
  logId,
  noteOfSth,
  noteSignatureOfSth,
  parseSth,
  type SignedTreeHead,
  type SthJson,
  sthOfNote,
  sthVerifier,
  type TimedTreeHead,
} from './sth.ts'
export {
  type BundleCoord,
  checkTileLength,
  formatBundlePath,
  formatTilePath,
  parseTilePath,
  type TileCoord,
  type TilePath,
  tilesBetween,
  tilesOfSize,
  tileWidth,
} from './tile.ts'
export { formatMicroseconds, parseOccurredAt } from './time.ts'
export { edgeFromTiles, type TreeEdge } from './tree-edge.ts'
export { foreignUuid, formatUuid, parseUuid, parseUuidV7, uuidUnixMs, uuidVersion } from './uuid.ts'
export { checkConsistency, checkInclusion, consistencyProofLength, inclusionProofLength } from './verify.ts'
export {
  isQuorum,
  type PolicyGroup,
  type PolicyLog,
  type PolicyWitness,
  parsePolicy,
  policyBytesMax,
  type WitnessPolicy,
} from './witness-policy.ts'
