// Original file: libs/schema/proto/nixfleet/deployer/v1/rollouts.proto

import type { WaveProgress as _nixfleet_deployer_v1_WaveProgress, WaveProgress__Output as _nixfleet_deployer_v1_WaveProgress__Output } from '../../../nixfleet/deployer/v1/WaveProgress.ts';

export interface RolloutProgress {
  'rollout'?: (string);
  'release'?: (string);
  'channel'?: (string);
  'state'?: (string);
  'reason'?: (string);
  'currentWave'?: (number);
  'waveCount'?: (number);
  'waves'?: (_nixfleet_deployer_v1_WaveProgress)[];
  'over'?: (boolean);
}

export interface RolloutProgress__Output {
  'rollout': (string);
  'release': (string);
  'channel': (string);
  'state': (string);
  'reason': (string);
  'currentWave': (number);
  'waveCount': (number);
  'waves': (_nixfleet_deployer_v1_WaveProgress__Output)[];
  'over': (boolean);
}
