/**
 * An image file whose disk can be made to fail and to stall while a server uses it: nbdkit's memory plugin behind its error
 * and pause filters, mounted by nbdfuse over a regular file. Nothing here is simulated in the server: it sees a file.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, watch, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { startNbdkit } from './nbdkit.ts';
import { tempFolder } from './tmp.ts';

export interface FuseImageOptions {
  readonly bytes: number;
  /** Such as '20ms'; each write takes that long. */
  readonly writeDelay?: string;
  /** The same of a hole that is punched. */
  readonly punchDelay?: string;
  /** False for a disk where no room can be given back: holes are refused, and so is another size. */
  readonly holes?: boolean;
}

const REQUESTS = ['pread', 'pwrite', 'trim', 'zero'] as const;
type Request = (typeof REQUESTS)[number];

export interface FuseImage {
  readonly path: string;
  readonly bytes: number;
  /** While failing, these requests are answered EIO. */
  fail(what: Request): void;
  heal(what: Request): void;
  /** Requests that come later wait until `resume`. Resolves once no request is under way. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** As a hung network file system: nobody takes a request, and who waits can be killed. What is paused has been taken. */
  freeze(): Promise<void>;
  thaw(): void;
}

/** Unmounted with the test. A server on it has to be started later than this, so that it is ended earlier. */
export async function fuseImage(t: Pick<Test, 'teardown'>, o: FuseImageOptions): Promise<FuseImage> {
  const folder = tempFolder(t);
  const path = join(folder, 'image');
  const control = join(folder, 'pause');
  const trigger = (what: string): string => join(folder, `fail-${what}`);
  const triggers = REQUESTS.flatMap((what) => [`error-${what}-rate=100%`, `error-${what}-file=${trigger(what)}`]);
  const { socketPath } = await startNbdkit(t, [
    ...(o.holes === false ? ['--filter=nozero'] : []),
    ...['--filter=pause', '--filter=error', '--filter=delay', ...backing(o, join(folder, 'disk'))],
    ...[`pause-control=${control}`, 'error=EIO', ...triggers, `wdelay=${o.writeDelay ?? '0'}`],
    ...[`delay-trim=${o.punchDelay ?? '0'}`, `delay-zero=${o.punchDelay ?? '0'}`],
  ]);
  writeFileSync(path, '');
  const pidFile = join(folder, 'nbdfuse.pid');
  const nbdfuse = spawn('nbdfuse', ['-P', pidFile, path, '--unix', socketPath], { stdio: 'ignore' });
  const exited = once(nbdfuse, 'exit');
  await appears(folder, pidFile, nbdfuse);
  t.teardown(async () => {
    // A server that is being ended may wait for an answer of this disk.
    nbdfuse.kill('SIGCONT');
    await command(control, 'r');
    execFileSync('umount', ['-l', path]);
    nbdfuse.kill('SIGTERM');
    await exited;
  });
  return {
    path,
    bytes: o.bytes,
    fail: (what) => writeFileSync(trigger(what), ''),
    heal: (what) => rmSync(trigger(what), { force: true }),
    pause: () => command(control, 'p'),
    resume: () => command(control, 'r'),
    freeze: () => stopped(nbdfuse),
    thaw: () => void nbdfuse.kill('SIGCONT'),
  };
}

/** The plugin of split files knows nothing but reads and writes. */
function backing({ bytes, holes = true }: FuseImageOptions, file: string): string[] {
  if (holes) return ['memory', String(bytes)];
  writeFileSync(file, '');
  truncateSync(file, bytes);
  return ['split', file];
}

/** Each thread stops where it is next scheduled, and until then it goes on. */
async function stopped(child: ChildProcess): Promise<void> {
  child.kill('SIGSTOP');
  const tasks = `/proc/${child.pid}/task`;
  const runs = (task: string): boolean => !/^\d+ \(.*\) T/.test(readFileSync(join(tasks, task, 'stat'), 'utf8'));
  while (readdirSync(tasks).some(runs)) await new Promise((resolve) => setImmediate(resolve));
}

async function appears(folder: string, path: string, child: ChildProcess): Promise<void> {
  const watcher = watch(folder);
  const gone = once(child, 'exit').then(() => {
    throw new Error('nbdfuse ended before it had mounted');
  });
  try {
    while (!existsSync(path)) await Promise.race([once(watcher, 'change'), gone]);
  } finally {
    watcher.close();
    // From here on an exit is the normal end.
    gone.catch(() => undefined);
  }
}

/** The pause filter answers each letter with its capital when it has taken effect. */
async function command(control: string, letter: 'p' | 'r'): Promise<void> {
  const socket = connect(control);
  socket.write(letter);
  const [answer] = await once(socket, 'data');
  socket.destroy();
  if (String(answer) !== letter.toUpperCase()) throw new Error(`the pause filter answered ${answer}`);
}
