import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Child } from '@nixfleet/infra';
import { until } from '@nixfleet/infra/testing';
import { forwardPort } from './forward-ports.ts';

const run = (file: string, ...args: string[]): void => {
  execFileSync(file, args, { stdio: ['ignore', 'ignore', 'pipe'] });
};

const delayMs = 200;
const lossPercent = 5;
const rate = '256kbit';

interface Interface {
  readonly namespace: readonly string[];
  readonly device: string;
}

/** Delay, loss and rate by the kernel, tc-netem(8); false where it was built without. */
function shapeWithNetem(interfaces: readonly Interface[]): boolean {
  const netem = ['netem', 'delay', `${delayMs}ms`, 'loss', `${lossPercent}%`, 'rate', rate];
  try {
    for (const { namespace, device } of interfaces)
      run('tc', ...namespace, 'qdisc', 'replace', 'dev', device, 'root', ...netem);
    return true;
  } catch {
    return false;
  }
}

/** The rate by tc-tbf(8), the loss by nftables; the delay is left to the forwarder. */
function shapeWithoutNetem(namespace: string, interfaces: readonly Interface[]): void {
  for (const { namespace: at, device } of interfaces)
    run(
      'tc',
      ...at,
      'qdisc',
      'replace',
      'dev',
      device,
      'root',
      'tbf',
      'rate',
      rate,
      'burst',
      '16k',
      'latency',
      '400ms',
    );
  const nft = (rule: string): void => run('ip', 'netns', 'exec', namespace, 'nft', rule);
  nft('add table ip line');
  for (const [hook, device] of [
    ['input', 'iifname'],
    ['output', 'oifname'],
  ]) {
    nft(`add chain ip line ${hook} { type filter hook ${hook} priority 0; }`);
    nft(`add rule ip line ${hook} ${device} != "lo" numgen random mod 100 < ${lossPercent} drop`);
  }
}

/** A network namespace at the end of a line of ours; its loopback ports lead to those of this machine. */
export class SlowLine implements AsyncDisposable {
  readonly namespace: string;
  readonly #near: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(namespace: string, near: string, stack: AsyncDisposableStack) {
    this.namespace = namespace;
    this.#near = near;
    this.#stack = stack;
  }

  static async lay(ports: readonly number[], logFile: string): Promise<SlowLine> {
    await using laying = new AsyncDisposableStack();
    const id = randomBytes(3).toString('hex');
    const namespace = `nixfleet-${id}`;
    const [near, far] = [`nf${id}a`, `nf${id}b`];
    const net = `10.213.${randomBytes(1)[0] ?? 0}`;
    run('ip', 'netns', 'add', namespace);
    laying.defer(() => run('ip', 'netns', 'delete', namespace));
    run('ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', namespace);
    run('ip', 'address', 'add', `${net}.1/30`, 'dev', near);
    run('ip', 'link', 'set', near, 'up');
    run('ip', '-n', namespace, 'address', 'add', `${net}.2/30`, 'dev', far);
    run('ip', '-n', namespace, 'link', 'set', far, 'up');
    run('ip', '-n', namespace, 'link', 'set', 'lo', 'up');
    for (const port of ports) {
      const server = await forwardPort({ host: `${net}.1`, port }, { host: '127.0.0.1', port });
      laying.defer(() => void server.close());
    }
    const interfaces = [
      { namespace: [], device: near },
      { namespace: ['-n', namespace], device: far },
    ];
    const delayed = shapeWithNetem(interfaces);
    if (!delayed) shapeWithoutNetem(namespace, interfaces);
    const line = new SlowLine(namespace, near, laying.move());
    const program = join(import.meta.dirname, 'forward-ports.ts');
    const args = [program, `${net}.1`, String(delayed ? 0 : delayMs), ...ports.map(String)];
    const forwarder = line.#stack.use(
      await Child.start({ name: 'forwarder', ...line.inside(process.execPath, args), logFile }),
    );
    await until(() => forwarder.logTail().split('\n').length > ports.length);
    return line;
  }

  /** The command that runs a program at the far end. */
  inside(file: string, args: readonly string[]): { file: string; args: string[] } {
    return { file: 'ip', args: ['netns', 'exec', this.namespace, file, ...args] };
  }

  /** Nothing passes any more; no connection is told. */
  cut(): void {
    run('ip', 'link', 'set', this.#near, 'down');
  }

  heal(): void {
    run('ip', 'link', 'set', this.#near, 'up');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Why there are no slow lines here; false when there are. */
export async function withoutSlowLines(logFile: string): Promise<string | false> {
  try {
    await using _line = await SlowLine.lay([], logFile);
    return false;
  } catch {
    return 'network namespaces cannot be made here (they need root, iproute2, and sch_netem or nftables)';
  }
}
