import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface FaultHost {
  readonly host: string;
  readonly site: string;
}

/** The first one of each wave plan is the canary. */
export const faultHosts: readonly FaultHost[] = [
  { host: 'web-01', site: 'north' },
  { host: 'web-02', site: 'north' },
  { host: 'web-03', site: 'south' },
];

/** Each release differs in one file of /etc; a host verifies for as long as a file of its root says. */
const fleetYaml = (release: string, extraEtc: string): string => `fleet: faults
sites:
  north: {}
  south: {}
channels:
  all:
    rollout:
      waves: [{ size: 1 }, { size: 100% }]
      soakSeconds: 1
      confirmDeadlineSeconds: 40
      healthTimeoutSeconds: 90
      failureThreshold: 0
      onFailure: pause
defaultChannel: all
settings:
  environment:
    etc:
      release: { text: ${JSON.stringify(release)} }
${extraEtc}
  services:
    nixfleet-agent:
      healthChecks:
        command:
          - name: held
            command: 'test ! -e "$NIXFLEET_ROOT/hold-verifying"'
            interval: 1
            timeout: 5
`;

const hostYaml = ({ site }: FaultHost): string => `site: ${site}\nplatform: x86_64-linux\n`;

/** Writes the fleet as it is in one release; `filler` is the text of one more file that every host gets. */
export async function writeFaultFleet(
  dir: string,
  hosts: readonly FaultHost[],
  release: string,
  filler?: string,
): Promise<void> {
  await mkdir(join(dir, 'hosts'), { recursive: true });
  for (const host of hosts) await writeFile(join(dir, 'hosts', `${host.host}.yaml`), hostYaml(host));
  const extra = filler === undefined ? '' : `      filler: { text: ${JSON.stringify(filler)} }`;
  await writeFile(join(dir, 'fleet.yaml'), fleetYaml(release, extra));
}
