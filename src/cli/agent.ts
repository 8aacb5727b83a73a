// `zswapd agent`: runs the agent of a guest, or prints it as the one file that a guest without zswapd needs.
import type { Command } from 'commander';
import { print } from './print.ts';

export function addAgent(program: Command, done: (exitCode: number) => void): void {
  program
    .command('agent')
    .description('in a guest: tell the server which cgroup each swap slot belongs to; --bundle prints it as one file')
    // The agent has a command line of its own, which works without ours.
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(async (_flags: object, command: Command) => {
      const { runAgent } = await import('../agent/main.ts');
      const { bundleAgent } = await import('../agent/bundle.ts');
      if (command.args[0] === '--bundle') await print(bundleAgent());
      else done(await runAgent(command.args, print));
    });
}
