// The command line of zswapd: which commands there are, what they take, and the exit code of each ending.
// Invariant: a mistake of the operator is one line on stderr and exit 2; a stack is shown for a fault of ours only.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { inspect } from 'node:util';
import { Command, CommanderError, Option } from 'commander';
import { checkEnvironment } from '../config/environment.ts';
import { REPOSITORY } from '../config/fields.ts';
import { ConfigError, DEFAULT_CONFIG, type Loaded } from '../config/load.ts';
import { programLine } from '../config/program.ts';
import { loadProblem } from '../config/requirements.ts';
import { EXIT, ExitError, errorCode } from '../os/exit_error.ts';
import { isSupervised } from '../os/inherited_sockets.ts';
import { addAgent } from './agent.ts';
import type { ExploreFlags } from './explore.ts';
import { type ConfigFlags, controlSocket, load, type StatsFlags, settings, withConfig, withControl } from './flags.ts';
import { print } from './print.ts';
import { addCtl, addFault, addSwapVerbs, addUpgrade } from './server_verbs.ts';
import { addSoak } from './soak_flags.ts';

/** Sixteen exports of 8 TiB, or some ten million pages, take tens of seconds. */
const CHECK_TIMEOUT_MS = 180_000;

function buildProgram(done: (exitCode: number) => void, writeOut: (text: string) => void): Command {
  const program = new Command('zswapd')
    .description('A swap device over NBD with a compressed pool, as in the kernel, in front of its image file.')
    .version(version())
    .exitOverride()
    .showSuggestionAfterError(false)
    .configureOutput({ writeOut, outputError: (text, write) => write(text.replace(/^error: /, 'zswapd: ')) });

  addServe(program);
  addStats(program, done);
  addSwapVerbs(program);
  addUpgrade(program);

  addCtl(program);
  addFault(program);
  addExplore(program, done);
  addConfigCheck(program);
  addAgent(program, done);
  addSoak(program, done);

  const imageCommands = program.command('image').description('work on image files');
  imageCommands
    .command('reset')
    .argument('<path>', 'the image file or block device')
    .description('discard a stale image, so that it can be served again')
    .action(async (path: string) => {
      const { resetImage } = await import('./image_reset.ts');
      done(await resetImage(resolve(path)));
    });
  return program;
}

function addServe(program: Command): void {
  withConfig(program.command('serve'))
    .description('serve the exports until SIGTERM, SIGINT or SIGHUP')
    .option(
      '--supervise',
      'hold the sockets, and start the server as a child that is started again when it ends unasked; SIGUSR2 upgrades it',
    )
    .action(async (flags: ConfigFlags & { supervise?: boolean }) => {
      const { config, notes, locate } = checked(flags);
      // Imported late: everything above answers a mistake without loading the server and its native modules.
      const { ignoreClosedOutput } = await import('../server/log.ts');
      ignoreClosedOutput();
      const { becomeIoFlusher } = await import('../server/io_flusher.ts');
      const notFlusher = becomeIoFlusher(config.process);
      const { endProcess } = await import('../os/process.ts');
      const { lastWords } = await import('../server/output.ts');
      endBy = (error) => endProcess(report(error, lastWords));
      try {
        if (flags.supervise === true && !isSupervised(process.env)) {
          const { supervise } = await import('../server/supervise.ts');
          await supervise(config);
        } else {
          const { serve } = await import('../server/serve.ts');
          await serve(config, notFlusher, notes);
        }
      } catch (error) {
        // A start may fail when its threads run already, and those would keep the process for ever.
        endBy(located(error, locate));
      }
    });
}

function addStats(program: Command, done: (exitCode: number) => void): void {
  withControl(program.command('stats'))
    .description('print the counters of a running server')
    .option('--json', 'print the JSON that the server sent')
    .option('--check', 'count what must agree while nothing runs; exit 1 if something leaked, or if requests run')
    .addOption(new Option('--classes', 'print what the allocator holds, by size').conflicts(['json', 'check']))
    .action(async (flags: StatsFlags) => {
      const { allocatorClasses } = await import('./ctl.ts');
      if (flags.classes === true) return await print(await allocatorClasses(() => controlSocket(flags)));
      const { fetchControl } = await import('./ask_control.ts');
      const { formatCheck, formatStats } = await import('./stats.ts');
      const { visibleJson } = await import('../control/fs/escapes.ts');
      const check = flags.check === true;
      const answer = check
        ? await fetchControl(controlSocket(flags), '/check', 'GET', CHECK_TIMEOUT_MS)
        : await fetchControl(controlSocket(flags), '/stats');
      const format = check ? formatCheck : formatStats;
      await print(flags.json ? `${visibleJson(JSON.stringify(answer))}\n` : format(answer));
      if (check && answer.ok !== true) done(EXIT.failed);
    });
}

function addConfigCheck(program: Command): void {
  const configCommands = program.command('config').description('work on the configuration');
  withConfig(configCommands.command('check'))
    .description('find whatever a start with this config would refuse now, without changing anything')
    .option('--json', 'print the checked config: bytes, milliseconds, absolute paths')
    .action(async (flags: ConfigFlags & { json?: boolean }) => {
      const { config, notes, locate } = checked(flags);
      const { rehearse } = await import('../server/rehearsal.ts');
      const refusals = await rehearse(config);
      if (refusals.length > 0) {
        // A stale image is the one thing that has an exit code of its own; beside another mistake it is one of several.
        const code = refusals.every((one) => one.code === refusals[0].code) ? refusals[0].code : EXIT.usage;
        throw new ConfigError(
          refusals.map(({ line }) => locate(line)),
          code,
        );
      }
      for (const note of notes) process.stderr.write(`${note}\n`);
      await print(flags.json ? `${JSON.stringify(config, null, 2)}\n` : `${flags.config ?? DEFAULT_CONFIG}: ok\n`);
    });
}

/** What a replay string says itself, and what a matrix tries all of: beside those, these flags would mean nothing. */
const SAID_BY_REPLAY = ['scenario', 'set', 'strategy', 'bound', 'seed', 'schedules'];
const SAID_BY_MATRIX = ['set', 'strategy', 'seed', 'replay'];

function addExplore(program: Command, done: (exitCode: number) => void): void {
  program
    .command('explore')
    .description('try the schedules of a race under a choice of protocols, and show the shortest that fails')
    .option('--scenario <name>', 'one scenario instead of all')
    .addOption(settings('<protocol.key=value>', 'protocols and switches, as in the config; repeatable'))
    .option('--strategy <name>', 'dfs (every schedule), pct or random', 'dfs')
    .option(
      '--bound <n>',
      'preemptions of a schedule at most; with pct: changes of priority, and a finding may need more of those',
      '2',
    )
    .option('--seed <n>', 'seed of pct and random', '1')
    .option('--schedules <n>', 'schedules to try at most', '100000')
    .addOption(new Option('--replay <string>', 'run one schedule again, as it says').conflicts(SAID_BY_REPLAY))
    .addOption(new Option('--matrix', 'every combination against every scenario').conflicts(SAID_BY_MATRIX))
    .option('--json', 'one JSON object per line')
    .action(async (flags: ExploreFlags) => {
      const { explore } = await import('./explore.ts');
      done(await explore(flags));
    });
}

/** The config, after everything that can be known before anything is created. */
function checked(flags: ConfigFlags): Loaded {
  const loaded = load(flags);
  const problems = checkEnvironment(loaded.config).map(loaded.locate);
  if (problems.length > 0) throw new ConfigError(problems);
  return loaded;
}

/** What only a try told, with the place of its option, as config check shows it. */
function located(error: unknown, locate: Loaded['locate']): unknown {
  if (!(error instanceof ExitError)) return error;
  return new ExitError(error.exitCode, locate(error.message), { cause: error });
}

function version(): string {
  return JSON.parse(readFileSync(resolve(REPOSITORY, 'package.json'), 'utf8')).version;
}

const printError = (text: string): void => void process.stderr.write(text);

/** Ends the process, whatever is under way. A server has a way of its own: neither a call that hangs nor a terminal holds it. */
let endBy = (error: unknown): never => process.exit(report(error));

/** One line for whatever went wrong, and the exit code for it. */
function report(error: unknown, print = printError): number {
  // Commander has written its own line, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof ExitError) {
    print(`${error.message}${furtherProblems(error)}\n`);
    return error.exitCode;
  }
  // Native modules are loaded late, and so is what runs out of descriptors.
  const cause = error instanceof Error ? loadProblem(error) : null;
  if (cause !== null) {
    print(`zswapd: ${cause}\n`);
    return EXIT.usage;
  }
  print(`zswapd: internal fault: ${inspect(error)}\n`);
  return EXIT.internal;
}

/** Logs want one line from a server that did not start; who asks for a check, or brings a plan, gets them all. */
function furtherProblems(error: ExitError): string {
  if (!(error instanceof ConfigError) || error.problems.length === 1) return '';
  if (process.argv[2] === 'config' || process.argv[2] === 'fault') return `\n${error.problems.slice(1).join('\n')}`;
  const flags = process.argv[2] === 'serve' ? process.argv.slice(3) : [];
  return ` (and ${error.problems.length - 1} more, shown by: ${programLine('config', 'check', ...flags)})`;
}

/** Runs what the command line says; answers the exit code. */
export async function runCommandLine(): Promise<number> {
  // Node would end with 1, which stands for a failure that we understood. Rejections that nobody handles come here too.
  process.on('uncaughtException', (error) => endBy(error));
  let exitCode: number = EXIT.ok;
  const done = (code: number): void => {
    exitCode = code;
  };
  // Help and version, which Commander writes without waiting, and then ends the command by an error of its own.
  let asked = '';
  const program = buildProgram(done, (text) => {
    asked += text;
  });
  try {
    checkArguments(process.argv.slice(2));
    await program.parseAsync().finally(() => (asked === '' ? undefined : print(asked)));
  } catch (error) {
    exitCode = await ending(error);
  }
  return exitCode;
}

/** What was no UTF-8 has become a sign on its way here, and so would name another file. A path of ctl is no file (cli/ctl.ts). */
function checkArguments([command, ...rest]: readonly string[]): void {
  if (command === 'ctl') return;
  const bad = rest.find((one) => one.includes('\u{fffd}'));
  if (bad !== undefined)
    throw new ExitError(EXIT.usage, `zswapd: ${bad}: is not UTF-8, or has the sign for what is not`);
}

/** Reports; and where a terminal is gone, does not come back, because Node's own end would be an abort. */
async function ending(error: unknown): Promise<number> {
  if (!(error instanceof ExitError) || errorCode(error.cause) !== 'EIO') return report(error);
  const { endProcess } = await import('../os/process.ts');
  const { lastWords } = await import('../server/output.ts');
  return endProcess(report(error, lastWords));
}
