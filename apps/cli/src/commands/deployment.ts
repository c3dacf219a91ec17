import { existsSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { agentPermissions, issueCredentials, type NatsIdentity } from '@nixfleet/infra';
import { FleetError, FleetName, HostId, SiteId } from '@nixfleet/schema';
import type { Command } from 'commander';
import { Value } from 'typebox/value';
import type { Context } from '../context.ts';
import { addDeploymentFile, createDeploymentDir, findContainerUser, imageUser } from '../deployment/deployment-dir.ts';
import { makeDeploymentFiles } from '../deployment/deployment-files.ts';

const defaultDir = 'compose';

/** The start of every compose command: its defaults need no file of variables. */
function composeCommand(dir: string): string {
  const { uid, gid } = findContainerUser();
  const isDefault = resolve(dir) === resolve(defaultDir) && uid === imageUser.uid && gid === imageUser.gid;
  return isDefault ? 'docker compose' : `docker compose --env-file ${join(dir, '.env')}`;
}

async function init(dir: string, fleet: string, context: () => Context): Promise<void> {
  if (!Value.Check(FleetName, fleet))
    throw new FleetError(
      'invalid_input',
      `--fleet-name takes a-z, 0-9 and dashes, at most 63 characters, got ${JSON.stringify(fleet)}`,
    );
  const user = findContainerUser();
  const files = await makeDeploymentFiles(fleet, resolve(dir), user);
  await createDeploymentDir(dir, files, user);
  const { output } = context();
  if (output.json) {
    output.print(JSON.stringify({ dir: resolve(dir), fleet, files: files.map(({ path }) => path) }));
    return;
  }
  const shown = relative(process.cwd(), resolve(dir)) || '.';
  output.print(`${files.length} files in ${shown}, for ${fleet}: only you can read them
  release.key          decides what runs on the hosts: mounted nowhere; better, move it off this machine
  nats-identity.json   makes credentials of agents: mounted nowhere
  operator.token       yours, with the role admin
Keep a copy of all of it. Then:
  ${composeCommand(shown)} up --build --detach
  export NIXFLEET_CONFIG=${join(resolve(dir), 'cli.json')}`);
}

interface Agent {
  readonly host: string;
  readonly site: string;
}

function parseAgent(text: string): Agent {
  const [host = '', site = '', ...rest] = text.split('@');
  if (rest.length === 0 && Value.Check(HostId, host) && Value.Check(SiteId, site)) return { host, site };
  throw new FleetError('invalid_input', `expected HOST@SITE, such as web-01@paris, got ${JSON.stringify(text)}`);
}

function readIdentity(dir: string): NatsIdentity {
  const file = join(dir, 'nats-identity.json');
  if (!existsSync(file))
    throw new FleetError('not_found', `${file} is not there: nixfleet deployment init makes it, or give --dir DIR`);
  return JSON.parse(readFileSync(file, 'utf8')) as NatsIdentity;
}

async function issueAgentCreds(texts: readonly string[], dir: string, context: () => Context): Promise<void> {
  const agents = texts.map(parseAgent);
  const identity = readIdentity(dir);
  const issued: { host: string; site: string; file: string; isNew: boolean }[] = [];
  for (const { host, site } of agents) {
    const path = join('agents', `${host}@${site}.creds`);
    const text = await issueCredentials(identity, `agent ${host}`, agentPermissions(site, host));
    const isNew = await addDeploymentFile(dir, { path, text, forContainers: true }, findContainerUser());
    issued.push({ host, site, file: join(dir, path), isNew });
  }
  const { output } = context();
  if (output.json) output.print(JSON.stringify({ agents: issued }));
  else for (const { file, isNew } of issued) output.print(`${file}${isNew ? '' : '  (there already, kept)'}`);
}

/** `nixfleet deployment init|agent-creds`: what docker-compose.yml needs beside itself. */
export function addDeploymentCommands(program: Command, context: () => Context): void {
  const deployment = program
    .command('deployment')
    .description('keys, passwords and settings of a backend in containers (docker-compose.yml)');
  deployment
    .command('init')
    .description('make them all, in a new directory that only you can read; never overwrites')
    .argument('[dir]', 'the directory', defaultDir)
    .requiredOption('--fleet-name <name>', 'name of the fleet, as in its fleet.yaml')
    .action((dir: string, options: { fleetName: string }) => init(dir, options.fleetName, context));
  deployment
    .command('agent-creds')
    .description('make NATS credentials of hosts: each limited to the subjects of its own')
    .argument('<host@site...>', 'the hosts')
    .option('--dir <dir>', 'the directory of deployment init', defaultDir)
    .action((agents: string[], options: { dir: string }) => issueAgentCreds(agents, options.dir, context));
}
