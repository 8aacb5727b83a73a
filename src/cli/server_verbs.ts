// The commands that change a running server: swapoff and swapon of an export, and the files of `zswapd ctl`.
import type { Command } from 'commander';
import type { CtlOptions, CtlVerb } from './ctl.ts';
import { controlSocket, type StatsFlags, withControl } from './flags.ts';
import { print } from './print.ts';

/** swapoff and swapon of an export of a running server. */
export function addSwapVerbs(program: Command): void {
  const run = async (path: string, flags: StatsFlags): Promise<void> => {
    const { fetchControl } = await import('./ask_control.ts');
    await print(`${JSON.stringify(await fetchControl(controlSocket(flags), path, 'POST'))}\n`);
  };
  withControl(program.command('swapoff'))
    .description(
      "after the guest's swapoff: discard what an export holds but slot 0 (the swap header), and refuse writes until swapon",
    )
    .argument('<export>', 'name of the export')
    .option('--force', 'although clients are connected')
    .option('--keep', 'write everything to the image first, and keep it')
    .action(async (name: string, flags: StatsFlags & { force?: boolean; keep?: boolean }) => {
      const options = `${flags.force === true ? '&force' : ''}${flags.keep === true ? '&keep' : ''}`;
      await run(`/swapoff?export=${encodeURIComponent(name)}${options}`, flags);
    });
  withControl(program.command('swapon'))
    .description('let an export take writes again after swapoff')
    .argument('<export>', 'name of the export')
    .action((name: string, flags: StatsFlags) => run(`/swapon?export=${encodeURIComponent(name)}`, flags));
}

/** For a supervised server: the program that is on disk now takes its place. */
export function addUpgrade(program: Command): void {
  withControl(program.command('upgrade'))
    .description(
      'stop a server that runs under serve --supervise, and start the program that is on disk now: clients wait meanwhile',
    )
    .action(async (flags: StatsFlags) => {
      const { fetchControl } = await import('./ask_control.ts');
      await print(`${JSON.stringify(await fetchControl(controlSocket(flags), '/upgrade', 'POST'))}\n`);
    });
}

/** The fault plan of a running server. */
export function addFault(program: Command): void {
  const commands = program.command('fault').description('faults that a running server injects, for tests');
  withControl(commands.command('apply'))
    .description('put a fault plan in force, in place of the one before')
    .argument('<file>', 'the plan, such as config/faults/standard.jsonc')
    .action(async (file: string, flags: StatsFlags) => {
      const { applyPlan } = await import('./fault.ts');
      await print(await applyPlan(controlSocket(flags), file));
    });
  withControl(commands.command('list'))
    .description('what is in force, and how often each fault was reached and injected')
    .option('--json', 'print the JSON that the server sent, with the events')
    .action(async (flags: StatsFlags) => {
      const { listFaults } = await import('./fault.ts');
      await print(await listFaults(controlSocket(flags), flags.json === true));
    });
  withControl(commands.command('clear'))
    .description('end all faults: what hangs goes on')
    .action(async (flags: StatsFlags) => {
      const { clearFaults } = await import('./fault.ts');
      await print(await clearFaults(controlSocket(flags)));
    });
}

/** The files of a running server. */
export function addCtl(program: Command): void {
  const commands = withControl(program.command('ctl')).description(
    "a running server's files, as the kernel has them: /cgroup, /parameters, /debug and /block",
  );
  const add = (verb: CtlVerb, description: string): Command =>
    withControl(commands.command(verb))
      .description(description)
      .argument('<path>', 'such as /cgroup/swap0/memory.zswap.max');
  const run = async (verb: CtlVerb, path: string, own: StatsFlags, options: CtlOptions = {}): Promise<void> => {
    // What stands in front of the verb counts too; behind it, it comes last.
    const before = commands.opts<StatsFlags>();
    const flags = { ...before, ...own, set: [...before.set, ...own.set] };
    const { ctl } = await import('./ctl.ts');
    await print(await ctl(() => controlSocket(flags), verb, path, options));
  };
  add('ls', 'list a folder')
    .option('-l, --long', 'with modes: what has no w can not be set')
    .action((path: string, flags: StatsFlags & CtlOptions) => run('ls', path, flags, flags));
  add('get', 'print a file').action((path: string, flags: StatsFlags) => run('get', path, flags));
  add('set', 'write a file')
    .argument('<value>', 'what to write, such as 64M, max or N')
    // A value may begin with a minus, and then it is for the file to refuse it.
    .allowUnknownOption()
    .action((path: string, value: string, flags: StatsFlags) => run('set', path, flags, { value }));
  add('mkdir', 'make a folder, where that can be done')
    .option('-p, --parents', 'with those above it; what is there already is no mistake, and stays')
    .action((path: string, flags: StatsFlags & CtlOptions) => run('mkdir', path, flags, flags));
  add('rmdir', 'remove a folder').action((path: string, flags: StatsFlags) => run('rmdir', path, flags));
}
