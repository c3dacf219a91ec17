import { commonSettings, readSettings, type SettingsOf, secret, url } from '@nixfleet/service';

/** Everything that config-resolver reads from the environment. */
export const resolverSettings = {
  ...commonSettings,
  cacheUrl: url('cache-indexer, where closures are uploaded', ['http', 'https']),
  cacheToken: secret('operator token with the role deploy, for uploads'),
};

export type ResolverConfig = SettingsOf<typeof resolverSettings>;

export const readConfig = (env: NodeJS.ProcessEnv): ResolverConfig => readSettings(resolverSettings, env);
