import { Api } from '../api.ts';
import type { Context } from '../context.ts';
import type { Output } from '../output.ts';
import type { Backend } from './backend.ts';
import { grpcAddressOf } from './services.ts';
import type { StateDir } from './state-dir.ts';

/** What commands need of a backend that runs here: its addresses, the operator's token, the release key. */
export function localContext(state: StateDir, { urls, secrets, ports }: Backend, output: Output): Context {
  const token = (): string => secrets.operatorToken;
  return {
    output,
    settings: {
      resolverUrl: urls.resolver,
      deployerUrl: urls.deployer,
      cacheUrl: urls.cache,
      telemetryUrl: urls.telemetry,
      deployerGrpcAddress: grpcAddressOf(ports),
      token,
      keyFile: state.releaseKeyFile,
    },
    resolver: new Api('config-resolver', urls.resolver, token),
    deployer: new Api('deployer', urls.deployer, token),
    telemetry: new Api('telemetry', urls.telemetry, token),
  };
}
