/**
 * The signals of a server. SIGTERM, SIGINT and SIGHUP stop it, except where SIGHUP or SIGINT was ignored when it was
 * started (nohup, a shell's background job). SIGUSR1 does nothing: Node would open an inspector on a port of loopback,
 * and with it the guest's memory, to every local user. SIGUSR2 is for a supervisor, whose servers have the same name and may be
 * sent it as well.
 */

/** Numbers of the signals that may be ignored from outside. SIGTERM always stops. */
const IGNORABLE = { SIGHUP: 1, SIGINT: 2 } as const;

/**
 * SigIgn of /proc/PID/status, in hex, as scripts/serve found it. Node puts ignored signals back to their defaults before
 * any line of ours runs, so the program can't see for itself what it inherited.
 */
export const INHERITED_IGNORED = 'ZSWAPD_SIGIGN';

/** Which of the signals that stop a server it was told to ignore. */
export function ignoredSignals(environment: NodeJS.ProcessEnv): readonly (keyof typeof IGNORABLE)[] {
  const mask = environment[INHERITED_IGNORED];
  if (mask === undefined || !/^[0-9a-f]{1,16}$/.test(mask)) return [];
  const bits = BigInt(`0x${mask}`);
  return (['SIGHUP', 'SIGINT'] as const).filter((name) => ((bits >> BigInt(IGNORABLE[name] - 1)) & 1n) === 1n);
}

/** Signals that stop the server, one after the other; kept when nobody waits yet. Made once per process. */
export class Signals {
  /** Those that it does not react to. */
  readonly ignored: readonly string[];
  /** The first, also where nobody has asked for the next by then. */
  readonly first: Promise<string>;
  private isFirst: (name: string) => void = () => undefined;
  private readonly arrived: string[] = [];
  private readonly waiting: ((signal: string) => void)[] = [];

  constructor(environment: NodeJS.ProcessEnv = process.env) {
    this.ignored = ignoredSignals(environment);
    this.first = new Promise((resolve) => {
      this.isFirst = resolve;
    });
    for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(name, () => {
        if (!this.ignored.includes(name)) this.raise(name);
      });
    }
    for (const name of ['SIGUSR1', 'SIGUSR2']) process.on(name, () => {});
  }

  /** As if it had come, and was not ignored. */
  raise(name: string): void {
    this.isFirst(name);
    const resolve = this.waiting.shift();
    if (resolve !== undefined) resolve(name);
    else this.arrived.push(name);
  }

  next(): Promise<string> {
    const signal = this.arrived.shift();
    if (signal !== undefined) return Promise.resolve(signal);
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}

/** Closes an inspector that a SIGUSR1 opened before the handler above was there. One asked for by name stays. */
export async function closeInspector(): Promise<void> {
  if (!process.features.inspector || [...process.execArgv, process.env.NODE_OPTIONS ?? ''].some(asksForInspector)) {
    return;
  }
  const { close, url } = await import('node:inspector');
  if (url() !== undefined) close();
}

function asksForInspector(option: string): boolean {
  // Not --inspect-port, which only says where.
  return /--inspect(-brk|-wait)?(=|\s|$)/.test(option);
}
