// A left-over socket file is replaced; a live socket, or a file that is no socket, is never touched.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs, {
  existsSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { claimUnixSocket, listenUnix } from '#src/os/unix_socket.js';

/** Not t.testdir: the path of a unix socket has to be short. */
function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'zswapd-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

function serverOf(t: Test): Server {
  const server = createServer((socket) => socket.destroy());
  t.teardown(() => server.close());
  return server;
}

/** Leaves a socket file that nobody answers, as a killed server does: its own name is gone when it closes. */
async function leaveDeadSocket(path: string): Promise<void> {
  const server = createServer();
  await listenUnix(server, `${path}.first`);
  renameSync(`${path}.first`, path);
  await new Promise((resolve) => server.close(resolve));
}

t.test('a left-over socket is replaced', async (t) => {
  const path = join(folderOf(t), 's');
  await leaveDeadSocket(path);
  t.ok(lstatSync(path).isSocket(), 'there is one');
  await listenUnix(serverOf(t), path);
  await t.rejects(claimUnixSocket(path), { exitCode: 2, message: 'already answers' }, 'and now it is live');
});

t.test('a live socket is refused with exit code 2 and goes on', async (t) => {
  const path = join(folderOf(t), 's');
  await listenUnix(serverOf(t), path);
  await t.rejects(listenUnix(serverOf(t), path), {
    exitCode: 2,
    message: `${path}: a server already answers on this socket`,
  });
  await t.rejects(claimUnixSocket(path), { exitCode: 2, message: 'already answers' }, 'the first one still does');
});

/** Listens for one connection at a time, and then never looks at its socket again. */
const HANGING = `require('node:net').createServer().listen({ path: process.argv[1], backlog: 1 }, () => {
  require('node:fs').writeSync(1, 'listening');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
})`;

/** Connects until the kernel has no room for one more that waits. */
async function fillBacklog(t: Test, path: string): Promise<void> {
  for (;;) {
    const socket = connect(path);
    t.teardown(() => socket.destroy());
    const error = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
      socket.once('connect', () => resolve(null)).once('error', resolve);
    });
    if (error === null) continue;
    t.equal(error.code, 'EAGAIN', 'the backlog is full');
    return;
  }
}

t.test('a server that hangs, with a full backlog, is alive: its socket stays', async (t) => {
  const path = join(folderOf(t), 's');
  const child = spawn(process.execPath, ['-e', HANGING, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  await fillBacklog(t, path);
  const { ino } = lstatSync(path);
  await t.rejects(claimUnixSocket(path), { exitCode: 2, message: 'already answers' });
  await t.rejects(listenUnix(serverOf(t), path), { exitCode: 2, message: 'already answers' });
  t.equal(lstatSync(path).ino, ino, 'it is the same socket');
});

t.test('a socket that became live after the look is put back', async (t) => {
  const path = join(folderOf(t), 's');
  await leaveDeadSocket(path);
  const { renameSync: rename } = fs;
  t.teardown(() => {
    fs.renameSync = rename;
    syncBuiltinESMExports();
  });
  // Between finding it dead and removing it, another server has replaced it.
  fs.renameSync = (...args) => {
    fs.renameSync = rename;
    syncBuiltinESMExports();
    unlinkSync(path);
    // Binds and listens in this call, often with the inode's number of the dead one.
    serverOf(t).listen(path);
    rename(...args);
  };
  syncBuiltinESMExports();
  await t.rejects(claimUnixSocket(path), { exitCode: 2, message: 'already answers' });
  await t.rejects(claimUnixSocket(path), { exitCode: 2, message: 'already answers' }, 'it is there, and live');
});

t.test("a close leaves another server's socket alone", async (t) => {
  const path = join(folderOf(t), 's');
  const first = createServer();
  await listenUnix(first, path);
  unlinkSync(path);
  await listenUnix(serverOf(t), path);
  await new Promise((resolve) => first.close(resolve));
  await t.rejects(claimUnixSocket(path), { exitCode: 2, message: 'already answers' });
});

t.test('a close removes its own, of whatever rights', async (t) => {
  const path = join(folderOf(t), 's');
  const server = createServer();
  await listenUnix(server, path, { mode: 0o666 });
  await new Promise((resolve) => server.close(resolve));
  t.notOk(existsSync(path));
});

t.test('a file that is no socket is left alone', async (t) => {
  const path = join(folderOf(t), 's');
  writeFileSync(path, 'precious');
  await t.rejects(listenUnix(serverOf(t), path), { exitCode: 2, message: 'is not a socket' });
  t.equal(readFileSync(path, 'utf8'), 'precious');
});

t.test('a socket has mode 0600, and the umask is as before', async (t) => {
  const path = join(folderOf(t), 's');
  const umask = process.umask();
  await listenUnix(serverOf(t), path);
  t.equal(lstatSync(path).mode & 0o777, 0o600);
  t.equal(process.umask(), umask);
});

t.test('a folder that is not there is exit code 2', async (t) => {
  const path = join(folderOf(t), 'no', 's');
  await t.rejects(listenUnix(serverOf(t), path), { exitCode: 2, message: /can't listen/ });
  t.notOk(existsSync(path));
});
