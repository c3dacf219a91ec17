export { Bus } from './bus.ts';
export {
  choice,
  commonSettings,
  describeSettings,
  integer,
  readSettings,
  type Setting,
  type SettingsOf,
  type SettingsSpec,
  secret,
  text,
  url,
  words,
} from './config.ts';
export { Database, migrateDatabase } from './database.ts';
export { DeadLetters } from './dead-letters.ts';
export { decodeEnvelope } from './envelope.ts';
export { asRunning, type Foundation, openFoundation } from './foundation.ts';
export { listenGrpc, streamHandler } from './grpc.ts';
export { Health } from './health.ts';
export { createApp, type HttpApp, listen } from './http.ts';
export { createLogger, type Logger } from './logger.ts';
export { createMetrics, type ServiceMetrics } from './metrics.ts';
export { hashToken, Operators, putOperator, removeOperator } from './operators.ts';
export { enqueueMessages, publishEvent, publishEvents, startOutboxRelay } from './outbox.ts';
export { type RunningService, runService } from './run.ts';
export { Secret } from './secret.ts';
export {
  type BatchSubscription,
  defineSubscription,
  startBatchSubscription,
  startSubscription,
} from './subscriptions.ts';
