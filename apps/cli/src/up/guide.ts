import { relative } from 'node:path';
import { formatTable, paint } from '../output.ts';
import type { Backend } from './backend.ts';
import { checkoutDir, type StateDir } from './state-dir.ts';

/** A path as a person in the checkout would type it. */
export function shownPath(path: string): string {
  const below = relative(checkoutDir, path);
  return below === '' || below.startsWith('..') ? path : below;
}

/** How to call the CLI so that it finds this backend. */
export function cliCommand(state: StateDir, isDefault: boolean): string {
  const config = isDefault ? '' : `NIXFLEET_CONFIG=${JSON.stringify(state.cliFile)} `;
  return `${config}npm run --silent nixfleet --`;
}

/** What is where, and what to type next; `example` is a command that fits the fleet. */
export function formatGuide(state: StateDir, backend: Backend, isDefault: boolean, example: string): string {
  const { urls, ports } = backend;
  const rows = [
    { name: 'config-resolver', url: urls.resolver, what: 'revisions, resolved hosts' },
    { name: 'deployer', url: urls.deployer, what: 'releases, rollouts, hosts' },
    { name: 'cache-indexer', url: urls.cache, what: 'the Nix binary cache' },
    { name: 'telemetry', url: urls.telemetry, what: 'health of hosts and backups' },
    { name: 'nats-server', url: backend.natsUrl, what: 'events, intents, reports' },
    { name: 'Postgres', url: `postgres://127.0.0.1:${ports.postgres}/nixfleet`, what: 'one role and schema a service' },
  ];
  const cli = cliCommand(state, isDefault);
  return [
    paint('bold', '\nThe backend is up.'),
    '',
    formatTable(rows, [
      { title: 'PART', value: (row) => row.name },
      { title: 'ADDRESS', value: (row) => row.url },
      { title: 'WHAT', value: (row) => row.what },
    ]),
    '',
    'Each service also answers /metrics (Prometheus), /openapi.json, /healthz and /readyz.',
    '',
    'Look around, in another terminal:',
    ...['status --watch', 'hosts', 'backups', 'rollout list', example].map((command) => `  ${cli} ${command}`),
    '',
    `State   ${shownPath(state.path)} (delete it to start anew)`,
    `Logs    ${shownPath(state.logDir)}`,
    `Key     ${shownPath(state.releaseKeyFile)} signs releases; no service has it`,
    '',
    'Ctrl-C stops everything; a next start goes on from here.',
  ].join('\n');
}
