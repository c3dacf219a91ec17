import { commonSettings, readSettings, type SettingsOf, text } from '@nixfleet/service';

/** Everything that telemetry reads from the environment. */
export const telemetrySettings = {
  ...commonSettings,
  publicUrl: text('base of the ping URLs that are handed out; empty: the address it listens on', { fallback: '' }),
};

export type TelemetryConfig = SettingsOf<typeof telemetrySettings>;

export const readConfig = (env: NodeJS.ProcessEnv): TelemetryConfig => readSettings(telemetrySettings, env);
