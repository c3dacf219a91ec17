import { parseSecretKey, type SecretKey } from '@nixfleet/nix';
import {
  commonSettings,
  integer,
  readSettings,
  type Setting,
  type SettingsOf,
  type SettingsSpec,
  text,
} from '@nixfleet/service';

const secretKeys = (description: string): Setting<readonly SecretKey[]> => ({
  description,
  fromFile: true,
  parse: (value) => {
    const keys = value
      .split(/[\s,]+/)
      .filter(Boolean)
      .map(parseSecretKey);
    if (keys.length === 0) throw new Error('expected at least one secret key, name:base64');
    return keys;
  },
});

const settings = {
  ...commonSettings,
  cacheStorageDir: text('directory of the NARs; several instances may share it'),
  cacheSecretKeys: secretKeys(
    'secret keys that sign narinfos, name:base64 as Nix writes them, separated by spaces or lines',
  ),
  cacheMaxUploadBytes: integer('largest upload, in bytes', 1, Number.MAX_SAFE_INTEGER, 64 * 1024 ** 3),
} satisfies SettingsSpec;

export type CacheConfig = SettingsOf<typeof settings>;

/** Throws `invalid_input` naming every setting that is missing or wrong. */
export const readConfig = (env: NodeJS.ProcessEnv): CacheConfig => readSettings(settings, env);
