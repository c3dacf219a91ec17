export { BinaryCache, type BinaryCacheOptions, type CacheInfo, type ClosureLimits } from './binary-cache.ts';
export type { ByteSource } from './byte-reader.ts';
export { closureDigest } from './closure-digest.ts';
export {
  defaultExportLimits,
  type ExportedPath,
  type ExportItem,
  type ExportLimits,
  exportSize,
  type ReceivedPath,
  readExport,
  writeExport,
} from './export.ts';
export { type PathFacts, pathFingerprint, signPath, verifyNarInfo } from './fingerprint.ts';
export {
  formatHexHash,
  formatNixHash,
  formatSriHash,
  type NixHash,
  normalizeNixHash,
  parseNixHash,
  sha256,
} from './hash.ts';
export type { RetryPolicy } from './http-retry.ts';
export { dumpNar } from './nar-dump.ts';
export {
  directory,
  type NarDirectory,
  type NarNode,
  type NarRegular,
  type NarSymlink,
  regularFile,
  symlink,
} from './nar-node.ts';
export { defaultNarLimits, type NarDigest, type NarLimits, parseNar } from './nar-reader.ts';
export { removeTree, unpackNar } from './nar-unpack.ts';
export { encodeNar } from './nar-writer.ts';
export { formatNarInfo, maxNarInfoBytes, type NarInfo, parseNarInfo } from './narinfo.ts';
export { decodeNix32, encodeNix32 } from './nix32.ts';
export {
  formatPublicKey,
  formatSecretKey,
  generateKeyPair,
  keyNameOf,
  type PublicKey,
  parsePublicKey,
  parseSecretKey,
  type SecretKey,
  signMessage,
  verifyMessage,
} from './signature.ts';
export { buildStoreObject, type StoreObject, type StoreObjectInput } from './store-object.ts';
export {
  baseNameOf,
  checkStoreName,
  hashPartOf,
  isHashPart,
  isStorePath,
  makeContentPath,
  makeStorePath,
  makeTextPath,
  parseStoreBaseName,
  parseStorePath,
  type StorePath,
  storeDir,
} from './store-path.ts';
