/** What integration tests share. Product code imports nothing of it. */
export { checkMetrics, withoutPromtool } from './testing/promtool.ts';
export { type TestDatabase, type TestDatabaseSpec, TestPostgres } from './testing/test-postgres.ts';
export { TestServers } from './testing/test-servers.ts';
export { until } from './testing/until.ts';
