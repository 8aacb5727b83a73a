// Every thread of a real server is an I/O flusher where that is permitted, and the log says whether it is.
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { getIoFlusher, setIoFlusher } from '#src/os/process.js';
import { tempFolder } from '../support/tmp.ts';
import { startServer } from '../support/zswapd.ts';

/** PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE, as /proc/PID/stat shows them. */
const IO_FLUSHER = 0x0018_0000;
const EPERM = 1;

/** Asked of another process, because this one would keep it. */
function permitted(): boolean {
  const script = `import('${import.meta.resolve('#src/os/process.js')}').then((os) => process.exit(os.setIoFlusher() === 0 ? 0 : 1))`;
  return spawnSync(process.execPath, ['-e', script]).status === 0;
}

const isPermitted = permitted();
const skip = isPermitted ? false : 'needs CAP_SYS_RESOURCE, for PR_SET_IO_FLUSHER';

/** Field 9 of each thread's stat, by the thread. */
function flagsOfThreads(pid: number): Map<string, number> {
  const entries = readdirSync(`/proc/${pid}/task`).map((task): [string, number] => {
    const stat = readFileSync(`/proc/${pid}/task/${task}/stat`, 'latin1');
    return [task, Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6])];
  });
  return new Map(entries);
}

function logged(stderr: string): { threads: number; total: number; msg: string } {
  const line = stderr.split('\n').find((one) => one.includes('I/O flusher'));
  return JSON.parse(line ?? '{}');
}

/** Work for libuv's pool as well: image writes and reads. */
async function swap(server: Awaited<ReturnType<typeof startServer>>): Promise<void> {
  const client = await server.connect();
  const noise = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7919) ^ (i >> 3)));
  for (let slot = 0; slot < 64; slot++) await client.write(slot * 4096, noise);
  await client.read(0, 64 * 4096);
  await client.disconnect();
}

t.test('every thread of a server, those of V8 and libuv too', { skip }, async (t) => {
  const server = await startServer(t, { size: '8MiB', set: ['lanes=2'] });
  await swap(server);
  const flags = flagsOfThreads(server.pid);
  t.ok(flags.size > 5, `${flags.size} threads`);
  for (const [task, one] of flags) t.equal(one & IO_FLUSHER, IO_FLUSHER, `thread ${task}`);
  const { threads, total, msg } = logged(server.stderr());
  t.equal(threads, total);
  t.equal(msg, 'process.ioFlusher: done: every thread is an I/O flusher');
  t.equal((await server.stop()).code, 0);
});

t.test('the process is the one that was started, with what it inherited', { skip }, async (t) => {
  const folder = tempFolder(t);
  const lock = openSync(join(folder, 'lock'), 'w');
  const server = await startServer(t, { folder, size: '8MiB', stdio: ['ignore', 'pipe', 'pipe', lock] });
  closeSync(lock);
  const marker = JSON.parse(readFileSync(`${server.image}.zswapd`, 'utf8'));
  t.equal(marker.pid, server.pid);
  t.equal(readlinkSync(`/proc/${server.pid}/fd/3`), join(folder, 'lock'), 'a lock file that who started it holds');
  t.match(readFileSync(`/proc/${server.pid}/comm`, 'utf8'), /node/);
  t.equal((await server.stop()).code, 0);
});

t.test(
  'where it is not permitted, the server says so and serves',
  { skip: isPermitted && 'it is permitted' },
  async (t) => {
    const server = await startServer(t, { size: '8MiB' });
    await swap(server);
    for (const [task, one] of flagsOfThreads(server.pid)) t.equal(one & IO_FLUSHER, 0, `thread ${task}`);
    t.match(logged(server.stderr()), {
      threads: 0,
      state: 'not permitted',
      msg: 'process.ioFlusher: not permitted: no thread is an I/O flusher: PR_SET_IO_FLUSHER needs CAP_SYS_RESOURCE',
    });
    t.equal(setIoFlusher(), -EPERM);
    t.equal(getIoFlusher(), -EPERM);
    t.equal((await server.stop()).code, 0);
  },
);
