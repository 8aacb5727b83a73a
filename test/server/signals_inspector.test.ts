// SIGUSR1 opens no inspector: it would show the guest's memory to every local user. Node's default is to open one.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startServer } from '../support/one_thread.ts';

const LISTEN = '0A';

/** Addresses of the TCP sockets on which this process listens. */
function listensOnTcp(pid: number): string[] {
  const own = readdirSync(`/proc/${pid}/fd`).map((fd) => socketInode(`/proc/${pid}/fd/${fd}`));
  return ['tcp', 'tcp6']
    .flatMap((table) => readFileSync(`/proc/${pid}/net/${table}`, 'utf8').split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === LISTEN && own.includes(fields[9]))
    .map((fields) => fields[1]);
}

function socketInode(link: string): string | undefined {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(link))?.[1];
  } catch (error) {
    // Closed since the list was read.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function says(child: ChildProcess, text: string): Promise<void> {
  let output = '';
  while (!output.includes(text)) output += (await once(child.stderr!, 'data'))[0];
}

t.test('what Node does by itself, so that the look below is known to see it', async (t) => {
  const args = ['--inspect-port=0', '-e', `setInterval(() => {}, 1000); console.error('up')`];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  await says(child, 'up');
  t.equal(listensOnTcp(child.pid!).length, 0);
  child.kill('SIGUSR1');
  await says(child, 'Debugger listening');
  t.equal(listensOnTcp(child.pid!).length, 1);
});

t.test('SIGUSR1 to a server: nothing listens, nothing is said, and it serves on', async (t) => {
  const server = await startServer(t, { size: '8MiB', env: { NODE_OPTIONS: '--inspect-port=0' } });
  // The last line of a start.
  const before = await server.until(() => (/I\/O flusher.*\n/.test(server.stderr()) ? server.stderr() : undefined));
  for (let i = 0; i < 5; i++) {
    server.child.kill('SIGUSR1');
    // The answer comes from the main thread, which would open it.
    await server.stats();
  }
  t.same(listensOnTcp(server.pid), []);
  t.equal(server.stderr(), before);
  const { code, stderr } = await server.stop();
  t.equal(code, 0);
  t.notMatch(stderr, 'Debugger');
});

t.test('one that a signal opened before the server could refuse is closed', async (t) => {
  const hook = join(
    t.testdir({ 'hook.cjs': `if (require('node:worker_threads').isMainThread) require('node:inspector').open(0);` }),
    'hook.cjs',
  );
  const server = await startServer(t, { size: '8MiB', env: { NODE_OPTIONS: `--require=${hook}` } });
  t.match(server.stderr(), 'Debugger listening', 'there was one');
  t.same(listensOnTcp(server.pid), []);
  t.equal((await server.stop()).code, 0);
});

t.test('one that was asked for by name stays', async (t) => {
  const server = await startServer(t, { size: '8MiB', env: { NODE_OPTIONS: '--inspect=0' } });
  t.equal(listensOnTcp(server.pid).length, 1);
  t.equal((await server.stop()).code, 0);
});
