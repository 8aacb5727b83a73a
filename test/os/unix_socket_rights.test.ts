// The unix socket for a group: at no moment may anybody connect who was not asked for, and what was asked for holds.
import { once } from 'node:events';
import fs, { chmodSync, linkSync, lstatSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { listenUnix } from '#src/os/unix_socket.js';
import { startServer } from '../support/one_thread.ts';
import { missing } from '../support/requires.ts';
import { tempFolder } from '../support/tmp.ts';

/** Any number is a group; this one is nobody's. */
const GID = 54_321;
const skip = missing('root');

function serverOf(t: Test): Server {
  const server = createServer((socket) => socket.destroy());
  t.teardown(() => server.close());
  return server;
}

function rightsOf(path: string): string {
  const { mode, gid } = lstatSync(path);
  return `${gid} ${(mode & 0o777).toString(8)}`;
}

/** Calls `look` before each chown and chmod of the test. */
function beforeEachChange(t: Test, look: () => void): void {
  const { chmodSync, chownSync } = fs;
  fs.chmodSync = (...args) => {
    look();
    chmodSync(...args);
  };
  fs.chownSync = (...args) => {
    look();
    chownSync(...args);
  };
  syncBuiltinESMExports();
  t.teardown(() => {
    Object.assign(fs, { chmodSync, chownSync });
    syncBuiltinESMExports();
  });
}

t.test('the group is let in last, when it is the right one', { skip }, async (t) => {
  const path = join(tempFolder(t), 's');
  const seen: string[] = [];
  beforeEachChange(t, () => seen.push(rightsOf(path)));
  await listenUnix(serverOf(t), path, { mode: 0o660, group: String(GID) });
  t.same(seen, [`${process.getegid!()} 600`, `${GID} 600`], 'first its owner alone, in either group');
  t.equal(rightsOf(path), `${GID} 660`);
});

t.test('a mode alone leaves the group as it is', async (t) => {
  const path = join(tempFolder(t), 's');
  await listenUnix(serverOf(t), path, { mode: 0o666 });
  t.equal(rightsOf(path), `${process.getegid!()} 666`);
});

for (const other of ['link', 'file'] as const) {
  t.test(`a socket that is exchanged for a ${other} gives nothing away`, { skip }, async (t) => {
    const folder = tempFolder(t);
    const path = join(folder, 's');
    const precious = join(folder, 'precious');
    if (other === 'link') await listenUnix(serverOf(t), precious);
    else writeFileSync(precious, 'mine', { mode: 0o600 });
    const server = createServer();
    server.prependOnceListener('listening', () => {
      renameSync(path, `${path}.away`);
      if (other === 'link') symlinkSync(precious, path);
      else linkSync(precious, path);
    });
    await t.rejects(listenUnix(server, path, { mode: 0o660, group: String(GID) }), {
      exitCode: 2,
      message: /can't give the socket group 54321 and mode 0660/,
    });
    t.equal(rightsOf(precious), `${process.getegid!()} 600`);
    t.equal(rightsOf(`${path}.away`), `${process.getegid!()} 600`);
    t.notOk(server.listening, 'nobody is served under other rights than those asked for');
  });
}

t.test('a group that is not there is exit code 2, and nothing is made', async (t) => {
  const path = join(tempFolder(t), 's');
  await t.rejects(listenUnix(serverOf(t), path, { mode: 0o660, group: 'nobody-has-this' }), {
    exitCode: 2,
    message: 'no group nobody-has-this',
  });
  t.equal(lstatSync(path, { throwIfNoEntry: false }), undefined);
});

t.test('of a real server: a member of the group gets in, another user does not', { skip }, async (t) => {
  const folder = tempFolder(t);
  chmodSync(folder, 0o711);
  const server = await startServer(t, {
    folder,
    size: '8MiB',
    set: ['listen.unixMode=0660', `listen.unixGroup=${GID}`],
  });
  t.equal(rightsOf(server.socketPath), `${GID} 660`);
  t.equal(rightsOf(server.controlPath), `${process.getegid!()} 600`, 'the control plane stays its own');
  t.equal(await connectAs(server.socketPath, 54_320), 'EACCES');
  t.equal(await connectAs(server.socketPath, GID), 'connected');
  t.equal((await server.stop()).code, 0);
});

t.test('an inherited socket keeps the rights that it has', async (t) => {
  const folder = tempFolder(t);
  const path = join(folder, 'given.sock');
  const given = createServer().listen(path);
  await once(given, 'listening');
  chmodSync(path, 0o622);
  const { fd } = (given as unknown as { _handle: { fd: number } })._handle;
  const server = await startServer(t, {
    folder,
    size: '8MiB',
    set: ['listen.unixMode=0660', `listen.unixGroup=${GID}`],
    stdio: ['ignore', 'pipe', 'pipe', fd],
    env: { LISTEN_FDS: '1' },
  });
  t.equal(rightsOf(path), `${process.getegid!()} 622`);
  t.equal(lstatSync(server.socketPath, { throwIfNoEntry: false }), undefined, 'what was given replaces listen.unix');
  t.equal((await server.stop()).code, 0);
  given.close();
});

/** As a user that is not root, in one group. The rights of the thread are asked when it connects, so nobody else runs between. */
function connectAs(path: string, gid: number): Promise<string> {
  const groups = process.getgroups!();
  process.setgroups!([]);
  process.setegid!(gid);
  process.seteuid!(54_320);
  // connect(2) happens in here.
  const socket = connect(path);
  process.seteuid!(0);
  process.setegid!(0);
  process.setgroups!(groups);
  return new Promise((resolve) => {
    socket.once('connect', () => {
      socket.destroy();
      resolve('connected');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}
