import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { agentPermissions, Child, issueCredentials } from '@nixfleet/infra';
import { TestServers, until } from '@nixfleet/infra/testing';
import { formatPublicKey, generateKeyPair } from '@nixfleet/nix';
import { heartbeatSubject } from '@nixfleet/schema';

const [site, host] = ['north', 'web-01'];
const publicKey = formatPublicKey(generateKeyPair('acme-1').publicKey);

test('an agent that starts while NATS is absent beats as soon as it is there, without a restart', async () => {
  await using servers = await TestServers.start();
  const credsFile = join(servers.dir, 'agent.creds');
  await writeFile(credsFile, await issueCredentials(servers.identity, 'agent', agentPermissions(site, host)));
  const subscription = (await servers.connection()).subscribe(heartbeatSubject(site, host));
  const beats: string[] = [];
  const listening = (async () => {
    for await (const message of subscription) beats.push(message.string());
  })();
  await (await servers.connection()).flush();
  await servers.killNats();
  await using agent = await Child.start({
    name: 'agent',
    file: process.execPath,
    args: [join(import.meta.dirname, '../../apps/agent/src/main.ts'), '--root', join(servers.dir, 'root')],
    logFile: join(servers.dir, 'agent.log'),
    env: {
      PATH: process.env.PATH,
      NIXFLEET_FLEET: 'acme',
      NIXFLEET_SITE: site,
      NIXFLEET_HOST: host,
      NIXFLEET_NATS_URL: servers.natsUrl,
      NIXFLEET_NATS_CREDS_FILE: credsFile,
      NIXFLEET_RELEASE_KEYS: publicKey,
      NIXFLEET_CACHE_KEYS: publicKey,
      NIXFLEET_HEARTBEAT_SECONDS: '1',
    },
  });
  await until(() => agent.logTail().includes('NATS is not reachable'));
  await servers.reviveNats();
  await until(() => beats.length > 0);
  assert.ok(agent.running);
  subscription.unsubscribe();
  await listening;
});
