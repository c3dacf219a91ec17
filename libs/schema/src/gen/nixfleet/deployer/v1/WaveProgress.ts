// Original file: libs/schema/proto/nixfleet/deployer/v1/rollouts.proto


export interface WaveProgress {
  'wave'?: (number);
  'hosts'?: (number);
  'converged'?: (number);
  'failed'?: (number);
  'unreachable'?: (number);
}

export interface WaveProgress__Output {
  'wave': (number);
  'hosts': (number);
  'converged': (number);
  'failed': (number);
  'unreachable': (number);
}
