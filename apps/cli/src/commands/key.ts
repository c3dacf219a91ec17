import { writeFileSync } from 'node:fs';
import { formatPublicKey, formatSecretKey, generateKeyPair } from '@nixfleet/nix';
import { FleetError } from '@nixfleet/schema';
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { readSecretKey, writeSecretFile } from '../keys.ts';

/** `nixfleet key generate|public`: release keys in Nix's own format. */
export function addKeyCommands(program: Command, context: () => Context): void {
  const key = program.command('key').description('release keys: who holds one decides what runs on the hosts');
  key
    .command('generate')
    .description('make a release key pair: FILE (secret, mode 600) and FILE.pub')
    .argument('<file>', 'where the secret key goes')
    .requiredOption('--name <name>', 'name of the key, by convention <fleet>-<number>')
    .action((file: string, options: { name: string }) => {
      if (!/^[A-Za-z0-9._-]{1,128}$/.test(options.name))
        throw new FleetError(
          'invalid_input',
          `--name takes letters, digits, dots, dashes and underscores, got ${JSON.stringify(options.name)}`,
        );
      const secretKey = generateKeyPair(options.name);
      writeSecretFile(file, `${formatSecretKey(secretKey)}\n`);
      const publicText = formatPublicKey(secretKey.publicKey);
      writeFileSync(`${file}.pub`, `${publicText}\n`);
      const { output } = context();
      if (output.json)
        output.print(JSON.stringify({ secretFile: file, publicFile: `${file}.pub`, publicKey: publicText }));
      else output.print(`secret key  ${file} (keep it off the servers)\npublic key  ${file}.pub\n${publicText}`);
    });
  key
    .command('public')
    .description('print the public half of a secret key')
    .argument('<file>', 'the secret key')
    .action((file: string) => {
      const { output } = context();
      const publicKey = formatPublicKey(readSecretKey(file).publicKey);
      output.print(output.json ? JSON.stringify({ publicKey }) : publicKey);
    });
}
