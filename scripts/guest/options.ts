// The command line of ./scripts/vm: what it accepts, and what makes no sense together.
import { parseArgs } from 'node:util';
import type { KernelChoice } from './kernel.ts';
import { CELLS } from './lowmem/cells.ts';

export const EXIT = { verified: 0, failed: 1, usage: 2, breakDetected: 3, skipped: 77 } as const;

const CELL_NAMES = CELLS.map(({ name }) => name);

export const HELP = `usage: scripts/vm [options]

Boots a Debian guest whose memory hogs are pushed into swap on an NBD export, and verifies every byte of them.

  --attach blk|nbd|both    blk (default): QEMU's NBD client and virtio-blk; nbd: the guest's nbd.ko over user
                           networking; both: one guest after the other, each with a server of its own
  --config FILE            config file for our server
  --set PATH=VALUE         setting for our server, after the run's own (repeatable)
  --server zswapd|nbdkit   which server to start (nbdkit: its memory plugin, for comparison)
  --uri URI                start no server, swap on this one: nbd://HOST:PORT/NAME or nbd+unix:///NAME?socket=PATH;
                           the export's content is lost
  --break corrupt|kill     a check of the check: spoil the server in mid-run (corrupt: overwrite 256 MiB of it over
                           another connection; kill: SIGKILL); exit 3 when the guest noticed as it must
  --restart clean|kill|upgrade
                           under swap load the server is stopped and started again, killed (with durability: strict;
                           with --set durability=volatile it must refuse to serve again, exit 3), or replaced by another
                           build, and the guest waits: every byte of its memory verifies all the same
  --times N                how often (default: 3)
  --memcg                  a guest with a tree of cgroups and the agent inside: whose pages are whose, and every limit, is
                           compared with what the guest's own kernel says (needs this machine's Node, which is lent)
  --agent-link tcp|serial  how the agent reaches the server (default: tcp; serial is a virtio-serial port)
  --kernel stable|backports|both
                           Debian bookworm's own kernel (6.1, default), the one of its backports (6.12), or one guest each
  --low-memory             a matrix of guests with little RAM and more load than it holds, the server beside them or inside;
                           ends in a table, and fails where bytes were wrong or settings that are called safe were not
  --cell NAME              of --low-memory: this cell alone (repeatable)
  --small                  less memory and no lower bound on the swap traffic
  --keep                   keep the run's folder (var/vm/...); a failed run always keeps it
  --timeout SECONDS        for each guest, from its start to its end (default: three times what it takes)

exit codes: 0 all memory verified; 1 failed, or an injected break went unnoticed; 2 wrong usage;
            3 the injected break was detected as it must be; 77 this machine cannot run it (the reason is printed)
`;

export type Attach = 'blk' | 'nbd';
type AgentLink = 'tcp' | 'serial';
export type Restart = 'clean' | 'kill' | 'upgrade';
export type Break = 'corrupt' | 'kill';

export interface Options {
  readonly attach: readonly Attach[];
  /** Arguments passed through to ./scripts/serve. */
  readonly serve: readonly string[];
  readonly server: 'zswapd' | 'nbdkit';
  readonly uri: string | undefined;
  readonly break: Break | undefined;
  readonly restart: Restart | undefined;
  readonly times: number;
  readonly memcg: boolean;
  readonly agentLink: AgentLink;
  readonly kernels: readonly KernelChoice[];
  readonly lowMemory: boolean;
  /** Cells of the matrix of low memory; all of it if there are none. */
  readonly cells: readonly string[];
  readonly small: boolean;
  readonly keep: boolean;
  readonly timeoutSeconds: number | undefined;
}

export class UsageError extends Error {}

/** Of --times. */
const TIMES_MAX = 100;

/** What the hogs do, in MiB and per cent; the guest's own name for each setting. */
export interface Load {
  readonly hogs: number;
  readonly hog_mib: number;
  readonly hog_limit_mib: number;
  readonly keeper_mib: number;
  readonly keeper_limit_mib: number;
  readonly touch_percent: number;
  readonly rewrite_percent: number;
  readonly seed: number;
}

/** The least that must have been swapped out, in bytes, for a run to say anything. */
export const LEAST_SWAPPED_OUT = 400e6;

export function loadOf(options: Options): Load {
  const seed = Math.floor(Math.random() * 2 ** 31);
  // What is touched after each restart is what it may go wrong with.
  const more = options.restart === undefined ? 0 : 4 * options.times;
  const common = { hogs: 4, touch_percent: 15 + more, rewrite_percent: 10 + more / 2, seed };
  if (options.small && (options.memcg || options.restart !== undefined))
    return { ...common, hog_mib: 48, hog_limit_mib: 16, keeper_mib: 32, keeper_limit_mib: 16 };
  return options.small
    ? { ...common, hog_mib: 32, hog_limit_mib: 12, keeper_mib: 24, keeper_limit_mib: 12 }
    : { ...common, hog_mib: 112, hog_limit_mib: 24, keeper_mib: 40, keeper_limit_mib: 16 };
}

function isVolatile(serve: readonly string[]): boolean {
  return serve.some((argument) => /^durability="?volatile"?$/.test(argument));
}

function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw new UsageError(`--${name} ${value}: allowed are ${allowed.join(', ')}`);
  return found;
}

/** Returns undefined when the user asked for help. */
export function parseOptions(args: readonly string[]): Options | undefined {
  const values = parse(args);
  if (values.help) return undefined;

  const attach = oneOf('attach', values.attach, ['blk', 'nbd', 'both']);
  const server = oneOf('server', values.server, ['zswapd', 'nbdkit']);
  const broken = values.break === undefined ? undefined : oneOf('break', values.break, ['corrupt', 'kill']);
  const serve = [
    ...(values.config === undefined ? [] : ['--config', values.config]),
    ...(values.set ?? []).flatMap((setting) => ['--set', setting]),
  ];
  if (serve.length > 0 && (values.uri !== undefined || server !== 'zswapd')) {
    throw new UsageError('--config and --set are for our own server, and this run starts none');
  }
  if (values.uri !== undefined && server !== 'zswapd') {
    throw new UsageError('--uri names a server that runs already; --server would start one');
  }
  if (values.uri !== undefined && broken === 'kill') {
    throw new UsageError('--break kill with --uri is refused: only processes that this run started are killed');
  }
  const restart =
    values.restart === undefined ? undefined : oneOf('restart', values.restart, ['clean', 'kill', 'upgrade']);
  if (
    restart !== undefined &&
    (broken !== undefined || values.memcg || values.uri !== undefined || server !== 'zswapd')
  ) {
    throw new UsageError('--restart is for our own server, and goes with no break, --memcg or --uri');
  }
  const times = Number(values.times ?? 3);
  if (
    !Number.isInteger(times) ||
    times < 1 ||
    times > TIMES_MAX ||
    (values.times !== undefined && restart === undefined)
  ) {
    throw new UsageError(`--times ${values.times}: a number from 1 to ${TIMES_MAX}, with --restart`);
  }
  const kernel = oneOf('kernel', values.kernel, ['stable', 'backports', 'both']);
  const agentLink = oneOf('agent-link', values['agent-link'], ['tcp', 'serial']);
  if (values.memcg && (broken !== undefined || values.uri !== undefined || server !== 'zswapd' || attach !== 'blk')) {
    throw new UsageError('--memcg takes our own server, attached by QEMU, and has no breaks');
  }
  if (
    values['low-memory'] &&
    (broken !== undefined || values.uri !== undefined || server !== 'zswapd' || values.memcg)
  ) {
    throw new UsageError('--low-memory takes our own server, and neither breaks nor --memcg');
  }
  const cells = values.cell ?? [];
  if (cells.length > 0 && !values['low-memory']) throw new UsageError('--cell is a part of --low-memory');
  for (const cell of cells) oneOf('cell', cell, CELL_NAMES);
  return {
    attach: attach === 'both' ? ['blk', 'nbd'] : [attach],
    serve,
    server,
    uri: values.uri,
    // A server of a volatile pool that was killed may not serve again: its guest has to notice.
    break: restart === 'kill' && isVolatile(serve) ? 'kill' : broken,
    restart,
    times,
    memcg: values.memcg,
    agentLink,
    kernels: kernel === 'both' ? ['stable', 'backports'] : [kernel],
    lowMemory: values['low-memory'],
    cells,
    small: values.small,
    keep: values.keep,
    timeoutSeconds: values.timeout === undefined ? undefined : secondsOf(values.timeout),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        attach: { type: 'string', default: 'blk' },
        config: { type: 'string' },
        set: { type: 'string', multiple: true },
        server: { type: 'string', default: 'zswapd' },
        uri: { type: 'string' },
        break: { type: 'string' },
        restart: { type: 'string' },
        times: { type: 'string' },
        memcg: { type: 'boolean', default: false },
        'agent-link': { type: 'string', default: 'tcp' },
        kernel: { type: 'string', default: 'stable' },
        'low-memory': { type: 'boolean', default: false },
        cell: { type: 'string', multiple: true },
        small: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        timeout: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function secondsOf(text: string): number {
  const seconds = Number(text);
  if (!Number.isFinite(seconds) || seconds <= 0) throw new UsageError(`--timeout ${text}: a number of seconds above 0`);
  return seconds;
}
