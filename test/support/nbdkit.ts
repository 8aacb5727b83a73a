/** Starts nbdkit, a foreign NBD server, on a unix socket for the time of one test. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, watch } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { tempFolder } from './tmp.ts';

/** Why tests with nbdkit cannot run here; false if they can. */
export function nbdkitMissing(): string | false {
  const { error, status } = spawnSync('nbdkit', ['--version']);
  return error !== undefined || status !== 0 ? 'nbdkit is not installed' : false;
}

export interface Nbdkit {
  readonly socketPath: string;
  readonly process: ChildProcess;
}

/** Runs `nbdkit -f -U socket ...args` and resolves once it listens, which is when it writes its pid file. */
export async function startNbdkit(t: Pick<Test, 'teardown'>, args: readonly string[]): Promise<Nbdkit> {
  const folder = tempFolder(t);
  const socketPath = join(folder, 'nbd.sock');
  const pidFile = join(folder, 'pid');
  const watcher = watch(folder);
  const child = spawn('nbdkit', ['-f', '-U', socketPath, '-P', pidFile, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = once(child, 'exit');
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-4096);
  });
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const gone = exited.then(() => {
    throw new Error(`nbdkit ended before it listened: ${stderr}`);
  });
  try {
    while (!existsSync(pidFile)) await Promise.race([once(watcher, 'change'), gone]);
  } finally {
    watcher.close();
    // From here on an exit is the normal end.
    gone.catch(() => undefined);
  }
  return { socketPath, process: child };
}
