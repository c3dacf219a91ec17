/**
 * Where tests get Postgres and NATS from: programs of this machine, or, with NIXFLEET_TEST_INFRA=containers, testcontainers
 * and any engine that answers as Docker does.
 */
export function runsInContainers(env: NodeJS.ProcessEnv = process.env): boolean {
  const choice = env.NIXFLEET_TEST_INFRA ?? '';
  if (choice === 'containers') return true;
  if (choice === '' || choice === 'local') return false;
  throw new Error(`NIXFLEET_TEST_INFRA takes local or containers, got ${JSON.stringify(choice)}`);
}
