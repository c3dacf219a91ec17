import { FleetError } from '@nixfleet/schema';
import { type NixHash, normalizeNixHash } from './hash.ts';
import { baseNameOf, parseStoreBaseName, parseStorePath, storeDir } from './store-path.ts';

/** What a binary cache says of one path. */
export interface NarInfo {
  /** Full path. */
  readonly storePath: string;
  /** Where the NAR is: relative to the cache, or absolute. Opaque, query included; not signed. */
  readonly url: string;
  /** `none`, `zstd`, `xz`, `bzip2` … of the file at `url`. Not signed. */
  readonly compression: string;
  /** Hash and bytes of the file at `url`, compressed. Not signed. */
  readonly fileHash?: NixHash;
  readonly fileSize?: number;
  /** Hash and bytes of the NAR. */
  readonly narHash: NixHash;
  readonly narSize: number;
  /** Full paths, itself included where it refers to itself. */
  readonly references: readonly string[];
  /** Full path of the derivation. Not signed. */
  readonly deriver?: string;
  /** `name:base64` each. */
  readonly signatures: readonly string[];
  /** Content address, as Nix writes it: `fixed:r:sha256:…`. */
  readonly contentAddress?: string;
}

/** A narinfo with 10,000 references is about half of it. */
export const maxNarInfoBytes = 1024 ** 2;

/** Nix ignores what it does not know; these it knows, and each but Sig may stand once. */
const knownFields = new Set([
  'StorePath',
  'URL',
  'Compression',
  'FileHash',
  'FileSize',
  'NarHash',
  'NarSize',
  'References',
  'Deriver',
  'System',
  'Sig',
  'CA',
]);

interface Field {
  readonly value: string;
  /** 1-based. */
  readonly line: number;
}

const refuseAt = (line: number, message: string, cause?: unknown): never => {
  throw new FleetError('invalid_input', `narinfo line ${line}: ${message}`, {
    cause,
    diagnostics: [{ severity: 'error', message, line }],
  });
};

/** Reads a field's value with a parser whose error then names the line. */
function parseAt<T>(field: Field, parse: (value: string) => T): T {
  try {
    return parse(field.value);
  } catch (error) {
    return refuseAt(field.line, error instanceof Error ? error.message : String(error), error);
  }
}

function readFields(text: string): { fields: Map<string, Field>; signatures: string[] } {
  if (text.length > maxNarInfoBytes) throw new FleetError('too_large', `narinfo of more than ${maxNarInfoBytes} bytes`);
  const lines = text.split('\n');
  if (lines.pop() !== '') refuseAt(lines.length + 1, 'the last line does not end: the text is cut off');
  const fields = new Map<string, Field>();
  const signatures: string[] = [];
  for (const [i, line] of lines.entries()) {
    const colon = line.indexOf(':');
    if (colon < 1 || (line[colon + 1] ?? ' ') !== ' ') refuseAt(i + 1, 'expected "Name: value"');
    const name = line.slice(0, colon);
    const value = line.slice(colon + 2);
    if (name === 'Sig') signatures.push(value);
    else if (knownFields.has(name) && fields.has(name)) refuseAt(i + 1, `${name} stands twice`);
    else fields.set(name, { value, line: i + 1 });
  }
  return { fields, signatures };
}

function parseSize(value: string): number {
  const size = Number(value);
  if (!/^[1-9][0-9]{0,15}$/.test(value) || !Number.isSafeInteger(size))
    throw new FleetError('invalid_input', `${JSON.stringify(value)} is not a size in bytes above 0`);
  return size;
}

const parseReferences = (value: string): string[] =>
  value
    .split(' ')
    .filter((word) => word !== '')
    .map((baseName) => parseStoreBaseName(baseName).path);

function parseUrl(value: string): string {
  if (value === '') throw new FleetError('invalid_input', 'URL is empty');
  return value;
}

/**
 * Reads a narinfo. Hashes may be nix32, hex or SRI and come out as `sha256:<nix32>`. Throws `invalid_input` naming the
 * line, `too_large` beyond `maxNarInfoBytes`.
 */
export function parseNarInfo(text: string): NarInfo {
  const { fields, signatures } = readFields(text);
  const required = (name: string): Field => fields.get(name) ?? refuseAt(text.split('\n').length, `${name} is missing`);
  const optional = <T>(name: string, parse: (value: string) => T): T | undefined => {
    const field = fields.get(name);
    return field === undefined || field.value === '' ? undefined : parseAt(field, parse);
  };
  const fileHash = optional('FileHash', normalizeNixHash);
  const fileSize = optional('FileSize', parseSize);
  const deriver = optional('Deriver', (value) =>
    value === 'unknown-deriver' ? undefined : parseStoreBaseName(value).path,
  );
  const contentAddress = fields.get('CA')?.value;
  return {
    storePath: parseAt(required('StorePath'), (value) => parseStorePath(value).path),
    url: parseAt(required('URL'), parseUrl),
    // Nix's own default, from the time before the field.
    compression: fields.get('Compression')?.value ?? 'bzip2',
    ...(fileHash === undefined ? {} : { fileHash }),
    ...(fileSize === undefined ? {} : { fileSize }),
    narHash: parseAt(required('NarHash'), normalizeNixHash),
    narSize: parseAt(required('NarSize'), parseSize),
    references: optional('References', parseReferences) ?? [],
    ...(deriver === undefined ? {} : { deriver }),
    signatures,
    ...(contentAddress === undefined || contentAddress === '' ? {} : { contentAddress }),
  };
}

/** Writes a narinfo, in the order that Nix and Harmonia use. References come out sorted, the line is omitted when there are none. */
export function formatNarInfo(info: NarInfo): string {
  const references = info.references.map(baseNameOf).sort();
  const lines = [
    `StorePath: ${info.storePath}`,
    `URL: ${info.url}`,
    `Compression: ${info.compression}`,
    ...(info.fileHash === undefined ? [] : [`FileHash: ${info.fileHash}`]),
    ...(info.fileSize === undefined ? [] : [`FileSize: ${info.fileSize}`]),
    `NarHash: ${info.narHash}`,
    `NarSize: ${info.narSize}`,
    ...(references.length === 0 ? [] : [`References: ${references.join(' ')}`]),
    ...(info.deriver === undefined ? [] : [`Deriver: ${info.deriver.slice(storeDir.length + 1)}`]),
    ...info.signatures.map((signature) => `Sig: ${signature}`),
    ...(info.contentAddress === undefined ? [] : [`CA: ${info.contentAddress}`]),
  ];
  return `${lines.join('\n')}\n`;
}
