import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { editorSchemas } from '@nixfleet/fleet';
import { FleetError } from '@nixfleet/schema';

const fleetYaml = `# yaml-language-server: $schema=./schemas/fleet.schema.json
# A fleet: its sites, its channels, and what all hosts have in common.
fleet: my-fleet

sites:
  paris:
    description: Where the hosts stand. Settings here reach every host of the site.
    hostSpec:
      timeZone: Europe/Paris

channels:
  stable:
    description: Releases reach the hosts of a channel by its policy.
    rollout:
      waves:
        - size: 1 # one host first …
        - size: 100% # … then all others
      # Short waits, to try things out; the defaults are 120 and 300.
      confirmDeadlineSeconds: 5 # a host without health by then goes back by itself
      healthTimeoutSeconds: 60 # how long the centre waits for a host
      onFailure: revert

defaultChannel: stable

# Options of every host. More specific places win: a group over a site, a host over a group.
settings:
  nixfleet:
    operators:
      users:
        alice:
          isAdmin: true
          sshAuthorizedKeys:
            - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIReplaceThisWithYourOwnKey alice@laptop
`;

const hostYaml = `# yaml-language-server: $schema=../schemas/host.schema.json
# The file's name is the name of the host.
site: paris
platform: x86_64-linux
role: server
tags: [web]
settings:
  nixfleet:
    # Tags set priorities and order, as in Nix: !force, !default, !override 60 VALUE, !before, !after.
    # See why a value is what it is:  nixfleet explain web-01 nixfleet.firewall.enable
    firewall:
      enable: !force true
  services:
    nixfleet-agent:
      healthChecks:
        # After each activation: healthy, or the host returns to the closure before.
        command:
          - name: disk-space
            command: df /
`;

/** Writes a small fleet; returns the files. Never touches a directory that holds something. */
export async function writeNewFleet(dir: string): Promise<string[]> {
  const present = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new FleetError('invalid_input', `${dir}: ${error.message}`);
  });
  if (present.length > 0)
    throw new FleetError('conflict', `${dir} is not empty (${present.slice(0, 3).join(', ')}): nothing was written`);
  const schemas = Object.entries(editorSchemas()).map(([name, schema]): [string, string] => [
    `schemas/${name}.schema.json`,
    `${JSON.stringify(schema, undefined, 2)}\n`,
  ]);
  const files: [string, string][] = [['fleet.yaml', fleetYaml], ['hosts/web-01.yaml', hostYaml], ...schemas];
  for (const [path, text] of files) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), text, { flag: 'wx' });
  }
  return files.map(([path]) => path);
}
