// `zswapd soak`: what its command line takes. What it does is loaded when it is asked for.
import { type Command, Option } from 'commander';
import { settings } from './flags.ts';
import type { SoakFlags } from './soak.ts';

export function addSoak(program: Command, done: (exitCode: number) => void): void {
  program
    .command('soak')
    .description('drive a device for a time, under faults if there is a plan, and end in a report and a verdict')
    .option('--time <time>', 'how long, such as 90s, 10m or 8h', '60s')
    .option('--faults <file>', 'plan of faults, applied to the server when the device is driven')
    .option('--seed <n>', 'seed of all that is drawn (default: another one each time)')
    .option('--rate <n>', 'begin so many operations in a second at most (default: as fast as they go)')
    .option('--uri <uri>', 'a device that is served already; its content is lost (default: a server of its own)')
    .addOption(new Option('--control <path>', 'control socket of that server'))
    .option('--guest', 'a guest swaps on the server (scripts/vm), again and again until the time is up')
    .option('--report <dir>', 'folder of the report, empty or not there (default: the next one in var/soak)')
    .option('--break <what>', 'break the server on purpose: checksum, fence, early-reply or fsync; has to fail')
    .addOption(settings('<path=value>', 'set an option of the server of its own; repeatable'))
    .action(async (flags: SoakFlags) => {
      const { runSoak } = await import('./soak.ts');
      done(await runSoak(flags));
    });
}
