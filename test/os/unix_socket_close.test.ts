// A close of a socket whose path is not what it was: it never throws, says so, and leaves alone what is not its own.
import fs, {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { listenUnix } from '#src/os/unix_socket.js';

interface Listening {
  readonly server: Server;
  readonly folder: string;
  readonly path: string;
  readonly said: string[];
}

/** Not t.testdir: the path of a unix socket has to be short. */
async function listening(t: Test): Promise<Listening> {
  const root = mkdtempSync(join(tmpdir(), 'zswapd-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const folder = join(root, 'run');
  mkdirSync(folder);
  const said: string[] = [];
  const server = createServer();
  await listenUnix(server, join(folder, 's'), { warn: (line) => said.push(line) });
  return { server, folder, path: join(folder, 's'), said };
}

/** Closes it, which must not throw. */
const closed = ({ server }: Listening): Promise<Error | undefined> => new Promise((resolve) => server.close(resolve));

/** Calls of renameSync fail from the `from`th on, until the test ends. */
function renamesFail(t: Test, from: number): void {
  const { renameSync: rename } = fs;
  t.teardown(() => {
    fs.renameSync = rename;
    syncBuiltinESMExports();
  });
  let calls = 0;
  fs.renameSync = (...args) => {
    if (++calls >= from) throw Object.assign(new Error('EPERM: operation not permitted, rename'), { code: 'EPERM' });
    rename(...args);
  };
  syncBuiltinESMExports();
}

t.test('a file where its folder was', async (t) => {
  const s = await listening(t);
  renameSync(s.folder, `${s.folder}.away`);
  writeFileSync(s.folder, 'precious');
  t.equal(await closed(s), undefined);
  t.match(s.said, [/ENOTDIR/]);
  t.equal(readFileSync(s.folder, 'utf8'), 'precious');
});

t.test('a folder that leads to itself', async (t) => {
  const s = await listening(t);
  renameSync(s.folder, `${s.folder}.away`);
  symlinkSync('run', s.folder);
  t.equal(await closed(s), undefined);
  t.match(s.said, [/ELOOP/]);
});

t.test('a folder that is gone has nothing to say', async (t) => {
  const s = await listening(t);
  renameSync(s.folder, `${s.folder}.away`);
  t.equal(await closed(s), undefined);
  t.same(s.said, []);
});

t.test("another's file that can't be moved", async (t) => {
  const s = await listening(t);
  rmSync(s.path);
  // A folder stands for a file that can't be unlinked either: what keeps from the one keeps from the other.
  mkdirSync(s.path);
  renamesFail(t, 1);
  t.equal(await closed(s), undefined);
  t.match(s.said, [/EPERM/]);
  t.ok(existsSync(s.path));
});

t.test("another's file that can't be moved back", async (t) => {
  const s = await listening(t);
  rmSync(s.path);
  writeFileSync(s.path, 'precious');
  renamesFail(t, 2);
  t.equal(await closed(s), undefined);
  const aside = `${s.path}.${process.pid}`;
  t.match(s.said, [new RegExp(`now is ${aside}: EPERM`)]);
  t.equal(readFileSync(aside, 'utf8'), 'precious');
});
