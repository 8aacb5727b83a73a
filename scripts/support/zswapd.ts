/** Starts a zswapd of one's own: for tests, for the benchmark and for the guest. Nothing but the given folders is touched. */
import { join } from 'node:path';
import { Child, type ChildOptions } from './child.ts';

/** A first start may install and build. */
export const READY_SECONDS = 300;

interface ZswapdOptions extends ChildOptions {
  /** Up to and with `serve`, or the script that says it. */
  readonly command: readonly [string, ...string[]];
  /** Where its sockets are. */
  readonly sockets: string;
  readonly exports: readonly object[];
  /** Further settings, as after --set. They come last, so they win; without one TCP is off. */
  readonly set?: readonly string[];
  /** Arguments behind all others. */
  readonly more?: readonly string[];
}

interface Zswapd {
  readonly child: Child;
  readonly socketPath: string;
  readonly controlPath: string;
  /** Of the ready lines so far. */
  uris(): string[];
}

const sockets = (folder: string): Pick<Zswapd, 'socketPath' | 'controlPath'> => ({
  socketPath: join(folder, 'nbd.sock'),
  controlPath: join(folder, 'control.sock'),
});

/** What follows the command. */
export function zswapdArguments(o: Pick<ZswapdOptions, 'sockets' | 'exports' | 'set' | 'more'>): string[] {
  const { socketPath, controlPath } = sockets(o.sockets);
  const set = [
    `listen.unix=${socketPath}`,
    'listen.tcp=null',
    `control.listen=${controlPath}`,
    `exports=${JSON.stringify(o.exports)}`,
    ...(o.set ?? []),
  ];
  return [...set.flatMap((setting) => ['--set', setting]), ...(o.more ?? [])];
}

/** Starts it and does not wait: whoever needs it ready waits for as many `uris` as there are exports and listeners. */
export function startZswapd(o: ZswapdOptions): Zswapd {
  const [program, ...args] = o.command;
  const child = new Child(program, [...args, ...zswapdArguments(o)], o);
  const uris = (): string[] => [...child.stdout.matchAll(/^ready (\S+)\n/gm)].map(([, uri]) => uri);
  return { child, ...sockets(o.sockets), uris };
}
