import type { Evaluation } from '@nixfleet/modules';
import { resolvePrograms } from './unit-file.ts';

const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

function plistValue(value: unknown, indent: string): string {
  if (typeof value === 'boolean') return `${indent}<${value}/>`;
  if (typeof value === 'number') return `${indent}<integer>${value}</integer>`;
  if (Array.isArray(value))
    return `${indent}<array>\n${value.map((item) => plistValue(item, `${indent}  `)).join('\n')}\n${indent}</array>`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(
      ([key, member]) => `${indent}  <key>${escapeXml(key)}</key>\n${plistValue(member, `${indent}  `)}`,
    );
    return `${indent}<dict>\n${members.join('\n')}\n${indent}</dict>`;
  }
  return `${indent}<string>${escapeXml(resolvePrograms(String(value)))}</string>`;
}

/** `launchd.daemons` as property lists (launchd.plist(5)), by file name. */
export function renderLaunchDaemons(evaluation: Evaluation): { name: string; text: string }[] {
  const daemons = (evaluation.read('launchd.daemons') ?? {}) as Record<string, { serviceConfig?: { Label?: string } }>;
  return Object.entries(daemons).map(([name, { serviceConfig = {} }]) => ({
    name: `${serviceConfig.Label ?? `org.nixos.${name}`}.plist`,
    text: `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
${plistValue(serviceConfig, '')}
</plist>
`,
  }));
}
