import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** One more group of a fleet that sets one option, as its author would write it into fleet.yaml. */
export interface GroupEdit {
  readonly name: string;
  readonly description: string;
  readonly hosts: readonly string[];
  /** Full path: `acme.web.workers`. */
  readonly option: string;
  /** The value as YAML. */
  readonly value: string;
}

/** Puts the group first under `groups:`, which is added when there is none. The rest of the text stays as it is. */
export function addGroup(fleetYaml: string, { name, description, hosts, option, value }: GroupEdit): string {
  const setting = option.split('.').reduceRight((inner, part) => `{ ${part}: ${inner} }`, value);
  const group = [
    `  ${name}:`,
    `    description: ${JSON.stringify(description)}`,
    `    select: { hosts: [${hosts.join(', ')}] }`,
    `    settings: ${setting}`,
    '',
  ].join('\n');
  const heading = /^groups:[ \t]*(#.*)?\n/m;
  return heading.test(fleetYaml)
    ? fleetYaml.replace(heading, (line) => `${line}${group}`)
    : `${fleetYaml.replace(/\n*$/, '\n')}groups:\n${group}`;
}

/** A copy of a fleet directory with one group more. */
export async function copyFleetWith(fleetDir: string, copyDir: string, edit: GroupEdit): Promise<void> {
  await rm(copyDir, { recursive: true, force: true });
  await cp(fleetDir, copyDir, { recursive: true });
  const file = join(copyDir, 'fleet.yaml');
  await writeFile(file, addGroup(await readFile(file, 'utf8'), edit));
}
