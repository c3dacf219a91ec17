import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { Transform } from 'node:stream';

interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** Gives everything on in its order, that much later. */
function delay(delayMs: number): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      setTimeout(() => this.push(chunk), delayMs);
      done();
    },
    flush: (done) => void setTimeout(done, delayMs),
  });
}

/** Passes connections on, byte for byte: what is between its two sides is the network. */
export async function forwardPort(listen: Endpoint, to: Endpoint, delayMs = 0): Promise<Server> {
  const server = createServer((incoming) => {
    const outgoing = connect(to.port, to.host);
    incoming.pipe(delay(delayMs)).pipe(outgoing).pipe(delay(delayMs)).pipe(incoming);
    const end = (): void => {
      incoming.destroy();
      outgoing.destroy();
    };
    for (const socket of [incoming, outgoing]) socket.on('error', end).on('close', end);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen.port, listen.host, resolve);
  });
  server.unref();
  return server;
}

// As a program: forward-ports.ts TARGET DELAY-MS PORT… listens on the loopback address of the network namespace that it is in.
if (import.meta.main) {
  const [host = '', delayMs, ...ports] = process.argv.slice(2);
  for (const port of ports.map(Number)) {
    const server = await forwardPort({ host: '127.0.0.1', port }, { host, port }, Number(delayMs));
    server.ref();
    process.stdout.write(`forwards ${(server.address() as AddressInfo).port}\n`);
  }
}
