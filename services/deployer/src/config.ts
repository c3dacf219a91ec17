import { parsePublicKey } from '@nixfleet/nix';
import { commonSettings, integer, readSettings, type SettingsOf, text, words } from '@nixfleet/service';

/** Everything that the deployer reads from the environment. */
export const deployerSettings = {
  ...commonSettings,
  releaseKeys: {
    description: 'public release keys, name:base64, separated by spaces: signatures by others are refused',
    parse: (value: string) =>
      value
        .split(/[\s,]+/)
        .filter(Boolean)
        .map(parsePublicKey),
  },
  cacheUrls: words('binary caches that agents fetch from, in order'),
  grpcPort: integer('port to listen on for gRPC, 0 for any free one', 0, 65_535, 7407),
  bootstrapOperatorsFile: text('JSON list of {name, role, tokenSha256} that exist from the start', { fallback: '' }),
};

export type DeployerConfig = SettingsOf<typeof deployerSettings>;

export const readConfig = (env: NodeJS.ProcessEnv): DeployerConfig => readSettings(deployerSettings, env);
