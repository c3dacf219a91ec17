import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { RolloutProgress as _nixfleet_deployer_v1_RolloutProgress, RolloutProgress__Output as _nixfleet_deployer_v1_RolloutProgress__Output } from './nixfleet/deployer/v1/RolloutProgress.ts';
import type { RolloutsClient as _nixfleet_deployer_v1_RolloutsClient, RolloutsDefinition as _nixfleet_deployer_v1_RolloutsDefinition } from './nixfleet/deployer/v1/Rollouts.ts';
import type { WatchRequest as _nixfleet_deployer_v1_WatchRequest, WatchRequest__Output as _nixfleet_deployer_v1_WatchRequest__Output } from './nixfleet/deployer/v1/WatchRequest.ts';
import type { WaveProgress as _nixfleet_deployer_v1_WaveProgress, WaveProgress__Output as _nixfleet_deployer_v1_WaveProgress__Output } from './nixfleet/deployer/v1/WaveProgress.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  nixfleet: {
    deployer: {
      v1: {
        RolloutProgress: MessageTypeDefinition<_nixfleet_deployer_v1_RolloutProgress, _nixfleet_deployer_v1_RolloutProgress__Output>
        Rollouts: SubtypeConstructor<typeof grpc.Client, _nixfleet_deployer_v1_RolloutsClient> & { service: _nixfleet_deployer_v1_RolloutsDefinition }
        WatchRequest: MessageTypeDefinition<_nixfleet_deployer_v1_WatchRequest, _nixfleet_deployer_v1_WatchRequest__Output>
        WaveProgress: MessageTypeDefinition<_nixfleet_deployer_v1_WaveProgress, _nixfleet_deployer_v1_WaveProgress__Output>
      }
    }
  }
}

