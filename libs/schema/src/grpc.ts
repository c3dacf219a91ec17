import { join } from 'node:path';
import { loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { ProtoGrpcType } from './gen/rollouts.ts';

export type { RolloutProgress__Output as RolloutProgress } from './gen/nixfleet/deployer/v1/RolloutProgress.ts';
export type { RolloutsHandlers } from './gen/nixfleet/deployer/v1/Rollouts.ts';

/** As `npm run generate` tells proto-loader-gen-types: the types in gen/ follow from these. */
const options = { longs: Number, enums: String, defaults: true, oneofs: true };
const protoDir = join(import.meta.dirname, '../proto');

const loaded = loadPackageDefinition(
  loadSync('nixfleet/deployer/v1/rollouts.proto', { ...options, includeDirs: [protoDir] }),
) as unknown as ProtoGrpcType;

/** `nixfleet.deployer.v1.Rollouts`: the client's constructor, with the service's definition at `.service`. */
export const RolloutsClient = loaded.nixfleet.deployer.v1.Rollouts;
