// Original file: libs/schema/proto/nixfleet/deployer/v1/rollouts.proto


export interface WatchRequest {
  'rollout'?: (string);
}

export interface WatchRequest__Output {
  'rollout': (string);
}
