// The agent's command line.
import { parseArgs } from 'node:util';
import { type Address, parseAddress } from './link.ts';
import { Problem, textOf } from './problem.ts';

export const HELP = `usage: agent --server ADDRESS --export NAME --device PATH --token FILE [options]

Runs in the guest, as root, and tells the zswapd server which cgroup each swap slot belongs to, and which slots are free.
Needs Node 20 or newer and nothing else: no module, no package. The kernel needs cgroup v2 with the memory controller,
tracefs with CONFIG_KPROBE_EVENTS, and BTF (/sys/kernel/btf/vmlinux); without the last two it falls back to pagemap.

  --server ADDRESS      HOST:PORT, unix:/PATH or serial:/dev/virtio-ports/NAME: the server's agents.tcp, or agents.unix
  --export NAME         the server's export
  --device PATH         the swap device that is this export, such as /dev/vdb
  --token FILE          holds the export's token
  --mode MODE           auto (default: probes if they fit this kernel, else pagemap), probes, pagemap
  --buffer MIB          trace buffer of each processor (default 8, at most 256)
  --interval SECONDS    between two looks at pagemap in that mode (default 10)
  --status SECONDS      prints a line of counters so often (default: at the end only)
  --check               says whether the probes fit this kernel, and ends

What it does not see:
  - Slots that were charged before it started, but for those that a process holds: these it finds in pagemap.
  - Where events were lost, or in pagemap mode, pages of no process: tmpfs and shared memory, and those of processes that
    ended. There the cgroup is the process's present one, not the one that was charged. What is free it does not know either.
  - Cgroups that are not below the root of the hierarchy that it sees: run it in the machine's own namespaces.
  - Cgroups whose path is no UTF-8.
  - Other swap devices than its own, and swap files.
Keep it out of swap itself: a cgroup of its own, with memory.swap.max 0, and 128 MiB that nobody takes (memory.min).

exit codes: 0 ended by SIGTERM or SIGINT, or --check and they fit; 1 the server will not have it, or another took over;
            2 wrong usage, or this kernel does not allow it
`;

export interface AgentOptions {
  readonly server: Address;
  readonly exportName: string;
  readonly device: string;
  readonly tokenFile: string;
  readonly mode: 'auto' | 'probes' | 'pagemap';
  readonly bufferKib: number;
  readonly intervalMs: number;
  /** 0: never. */
  readonly statusMs: number;
}

/** What was asked for: help, a check of the kernel, or a run. */
type Asked = 'help' | 'check' | AgentOptions;

export function parseOptions(args: readonly string[]): Asked {
  const values = parse(args);
  if (values.help) return 'help';
  if (values.check) return 'check';
  const need = (name: 'server' | 'export' | 'device' | 'token'): string => {
    const value = values[name];
    if (value === undefined || value === '') throw new Problem(`--${name} is missing`);
    return value;
  };
  const { mode } = values;
  if (mode !== 'auto' && mode !== 'probes' && mode !== 'pagemap') {
    throw new Problem(`--mode ${mode}: allowed are auto, probes, pagemap`);
  }
  return {
    server: parseAddress(need('server')),
    exportName: need('export'),
    device: need('device'),
    tokenFile: need('token'),
    mode,
    bufferKib: 1024 * numberOf('buffer', values.buffer, 1, 256),
    intervalMs: 1000 * numberOf('interval', values.interval, 1, 86_400),
    statusMs: 1000 * numberOf('status', values.status, 0, 86_400),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        server: { type: 'string' },
        export: { type: 'string' },
        device: { type: 'string' },
        token: { type: 'string' },
        mode: { type: 'string', default: 'auto' },
        buffer: { type: 'string', default: '8' },
        interval: { type: 'string', default: '10' },
        status: { type: 'string', default: '0' },
        check: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new Problem(textOf(error));
  }
}

function numberOf(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= least && value <= most) return value;
  throw new Problem(`--${name} ${text}: a number of ${least} to ${most} is allowed`);
}
