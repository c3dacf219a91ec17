// Original file: libs/schema/proto/nixfleet/deployer/v1/rollouts.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { RolloutProgress as _nixfleet_deployer_v1_RolloutProgress, RolloutProgress__Output as _nixfleet_deployer_v1_RolloutProgress__Output } from '../../../nixfleet/deployer/v1/RolloutProgress.ts';
import type { WatchRequest as _nixfleet_deployer_v1_WatchRequest, WatchRequest__Output as _nixfleet_deployer_v1_WatchRequest__Output } from '../../../nixfleet/deployer/v1/WatchRequest.ts';

export interface RolloutsClient extends grpc.Client {
  Watch(argument: _nixfleet_deployer_v1_WatchRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_nixfleet_deployer_v1_RolloutProgress__Output>;
  Watch(argument: _nixfleet_deployer_v1_WatchRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_nixfleet_deployer_v1_RolloutProgress__Output>;
  watch(argument: _nixfleet_deployer_v1_WatchRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_nixfleet_deployer_v1_RolloutProgress__Output>;
  watch(argument: _nixfleet_deployer_v1_WatchRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_nixfleet_deployer_v1_RolloutProgress__Output>;
  
}

export interface RolloutsHandlers extends grpc.UntypedServiceImplementation {
  Watch: grpc.handleServerStreamingCall<_nixfleet_deployer_v1_WatchRequest__Output, _nixfleet_deployer_v1_RolloutProgress>;
  
}

export interface RolloutsDefinition extends grpc.ServiceDefinition {
  Watch: MethodDefinition<_nixfleet_deployer_v1_WatchRequest, _nixfleet_deployer_v1_RolloutProgress, _nixfleet_deployer_v1_WatchRequest__Output, _nixfleet_deployer_v1_RolloutProgress__Output>
}
