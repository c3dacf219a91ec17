import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  buildStoreObject,
  directory,
  formatNarInfo,
  hashPartOf,
  type NarInfo,
  regularFile,
  type SecretKey,
  type StoreObject,
  signPath,
} from '@nixfleet/nix';
import { HealthChecks } from '@nixfleet/schema';
import { Value } from 'typebox/value';

/** A binary cache of fixed files, as a directory behind any web server would be. Tests change single answers. */
export interface StaticCache extends AsyncDisposable {
  readonly url: string;
  readonly files: Map<string, Uint8Array>;
}

export async function serveCache(objects: readonly StoreObject[], key: SecretKey): Promise<StaticCache> {
  const files = new Map<string, Uint8Array>();
  for (const object of objects) {
    files.set(`/nar/${hashPartOf(object.storePath)}.nar`, object.nar);
    files.set(`/${hashPartOf(object.storePath)}.narinfo`, narInfoText(object, key));
  }
  const server = createServer((request, response) => {
    const file = files.get(request.url ?? '');
    response.writeHead(file === undefined ? 404 : 200);
    response.end(file);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    files,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

export function narInfoText(
  object: Pick<NarInfo, 'storePath' | 'narHash' | 'narSize' | 'references'>,
  key: SecretKey,
): Uint8Array {
  const { storePath, narHash, narSize, references } = object;
  return Buffer.from(
    formatNarInfo({
      storePath,
      narHash,
      narSize,
      references,
      url: `nar/${hashPartOf(storePath)}.nar`,
      compression: 'none',
      signatures: [signPath(key, object)],
    }),
  );
}

export interface TestSystem {
  readonly toplevel: StoreObject;
  readonly motd: StoreObject;
  readonly objects: readonly StoreObject[];
}

/** A small native closure: one file of /etc, an activation script that links it, health checks. */
export function buildSystem(motdText: string, checks: Partial<HealthChecks> = {}, activation = ''): TestSystem {
  const motd = buildStoreObject({ name: 'motd', tree: regularFile(motdText) });
  const health = Value.Parse(HealthChecks, { systemd: [], http: [], command: [], ...checks });
  const script = `#!/bin/sh
set -eu
mkdir -p "$NIXFLEET_ROOT/etc"
ln -sfn "../nix/store/${motd.storePath.slice('/nix/store/'.length)}" "$NIXFLEET_ROOT/etc/motd"
echo activated >> "$NIXFLEET_ROOT/activations"
${activation}
`;
  const toplevel = buildStoreObject({
    name: 'nixos-system-test',
    tree: directory({
      activate: regularFile(script, true),
      'nixfleet-native': regularFile(''),
      nixfleet: directory({ 'health.json': regularFile(JSON.stringify(health)) }),
      motd: regularFile(motd.storePath),
    }),
    references: [motd.storePath],
  });
  return { toplevel, motd, objects: [motd, toplevel] };
}
