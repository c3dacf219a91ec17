import { AgentReport, FleetError, hostsChanged, reportFilter, reportStream, reportSubject } from '@nixfleet/schema';
import { type BatchSubscription, type Database, publishEvents } from '@nixfleet/service';
import { Compile } from 'typebox/compile';
import { applyReports } from '../store/attempts.ts';
import type { DeployerTables } from '../store/tables.ts';

const validator = Compile(AgentReport);
const hostsPerEvent = 500;

/** The subject is what NATS let the agent publish: a report that speaks for another host is refused. */
export function decodeReport(message: { readonly subject: string; readonly data: Uint8Array }): AgentReport {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(message.data).toString('utf8'));
  } catch {
    throw new FleetError('invalid_input', `${message.subject}: the report is no JSON`);
  }
  if (!validator.Check(value)) {
    const [first] = validator.Errors(value);
    throw new FleetError(
      'invalid_input',
      `${message.subject}: the report is not as agreed: ${first?.instancePath ?? ''} ${first?.message ?? ''}`,
    );
  }
  if (reportSubject(value.site, value.host) !== message.subject) {
    throw new FleetError(
      'invalid_input',
      `${message.subject}: the report speaks for host ${value.host} at ${value.site}`,
    );
  }
  return value;
}

export interface ReportDeps {
  readonly db: Database<DeployerTables>;
  readonly onReports: (reports: readonly AgentReport[]) => void;
}

/** Applies reports by the batch and tells who runs what now. */
export const onAgentReports = ({ db, onReports }: ReportDeps): BatchSubscription<AgentReport> => ({
  stream: reportStream.name,
  filter: reportFilter,
  consumer: 'deployer-agent-reports',
  maxMessages: 1000,
  lingerMs: 40,
  decode: decodeReport,
  handle: async (reports) => {
    await db.ready;
    await db.transaction(async (tx) => {
      const { changedHosts } = await applyReports(tx, reports);
      for (let start = 0; start < changedHosts.length; start += hostsPerEvent) {
        const part = changedHosts.slice(start, start + hostsPerEvent);
        const [first] = part;
        if (first === undefined) continue;
        const hosts = part.map((h) => ({
          host: h.host,
          site: h.site,
          ...(h.running === null ? {} : { running: h.running }),
          ...(h.confirmed === null ? {} : { confirmed: h.confirmed }),
        }));
        await publishEvents(tx, hostsChanged, [{ fleet: first.fleet, hosts }], { traceId: '0'.repeat(32) });
      }
    });
    onReports(reports);
  },
});
