#!/usr/bin/env node
import { FleetError, formatDiagnostic } from '@nixfleet/schema';
import { Command, CommanderError } from 'commander';
import { addDeadLetterCommands } from './commands/dead-letters.ts';
import { addDeploymentCommands } from './commands/deployment.ts';
import { addFleetCommands } from './commands/fleet.ts';
import { addHostCommands } from './commands/hosts.ts';
import { addKeyCommands } from './commands/key.ts';
import { addReleaseCommands } from './commands/release.ts';
import { addRolloutCommands } from './commands/rollout.ts';
import { addUpCommand } from './commands/up.ts';
import { createContext } from './context.ts';
import { exitCodeOf, exitCodes } from './exit-codes.ts';
import { paint } from './output.ts';

const program = new Command('nixfleet')
  .description('roles and scopes become host closures, closures reach hosts through gated rollouts')
  .version('0.1.0')
  .option('--json', 'print one JSON value, for programs')
  .showHelpAfterError('(nixfleet --help lists every command)')
  .exitOverride();

const context = () => createContext(program.opts<{ json?: boolean }>().json === true);
addFleetCommands(program, context);
addKeyCommands(program, context);
addReleaseCommands(program, context);
addRolloutCommands(program, context);
addHostCommands(program, context);
addDeadLetterCommands(program, context);
addDeploymentCommands(program, context);
addUpCommand(program);
// Flags and errors behave alike on every level.
for (const command of program.commands.flatMap((top) => [top, ...top.commands]))
  command
    .exitOverride()
    .option('--json', 'print one JSON value, for programs')
    .on('option:json', () => program.setOptionValue('json', true));

/** Says on standard error what is wrong, where, and what to do; programs get it as JSON. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.invalid;
  const known = error instanceof FleetError;
  if (program.opts<{ json?: boolean }>().json === true) {
    const body = known
      ? { code: error.code, message: error.message, diagnostics: error.diagnostics }
      : { code: 'unexpected', message: String(error) };
    process.stderr.write(`${JSON.stringify({ error: body })}\n`);
  } else if (known) {
    for (const diagnostic of error.diagnostics) process.stderr.write(`${formatDiagnostic(diagnostic)}\n`);
    process.stderr.write(`${paint('red', 'error')}: ${error.message}\n`);
  } else {
    process.stderr.write(
      `nixfleet stumbled over a bug: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  }
  return known ? exitCodeOf(error.code) : exitCodes.unexpected;
}

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}
