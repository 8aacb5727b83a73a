// An image that is not there after a kill, as before its file system is mounted or its device is found: not made anew.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { runCommand } from '../../support/run_process.ts';
import { tempFolder } from '../../support/tmp.ts';
import { type RunningServer, type ServerOptions, serverArguments } from '../../support/zswapd.ts';
import { MIB, writeSlots } from './images.ts';

const size = '8MiB';

t.setTimeout(180_000);

interface Killed {
  readonly server: RunningServer;
  readonly o: ServerOptions;
  /** Where the image lies, the state folder, and where `away` puts the one. */
  readonly disk: string;
  readonly state: string;
  readonly hidden: string;
}

/** Killed with flushed pages; then its file system is not there, and the empty folder below is. */
async function killedAndAway(t: Test, durability: string, image = 'swap.img'): Promise<Killed> {
  const root = tempFolder(t);
  const [disk, state, hidden] = ['disk', 'state', 'hidden'].map((name) => join(root, name));
  for (const folder of [disk, state]) mkdirSync(folder);
  symlinkSync(disk, join(root, 'link'));
  const o = {
    size,
    image: join(root, image.includes('/') ? image : `disk/${image}`),
    folder: root,
    set: [`durability=${durability}`],
    env: { STATE_DIRECTORY: state },
  };
  const server = await startServer(t, o);
  const client = await server.connect();
  await writeSlots(client, 0, 64);
  if (durability === 'strict') await client.flush();
  await server.kill9();
  renameSync(disk, hidden);
  mkdirSync(disk);
  return { server, o, disk, state, hidden };
}

function putBack({ disk, hidden }: Killed): void {
  rmdirSync(disk);
  renameSync(hidden, disk);
}

function check({ o }: Killed) {
  const [main, , ...set] = serverArguments(o.folder!, o);
  return runCommand('env', [
    `STATE_DIRECTORY=${o.env!.STATE_DIRECTORY}`,
    process.execPath,
    main,
    'config',
    'check',
    ...set,
  ]);
}

for (const durability of ['strict', 'volatile'] as const) {
  t.test(`${durability}: refused while it is not there, and served as before when it is`, async (t) => {
    const killed = await killedAndAway(t, durability);
    const gone = /its image is gone: the file is missing; allowed: put the image back/;
    t.match(await failedStart(t, killed.o), { code: 3, stderr: gone });
    t.match(await check(killed), { code: 3, stderr: gone });
    t.same(readdirSync(killed.disk), [], 'nothing was made');
    putBack(killed);
    if (durability === 'volatile') {
      t.match(await failedStart(t, killed.o), { code: 3, stderr: /stale, because its last server/ });
      return;
    }
    const again = await startServer(t, killed.o);
    t.not((await again.logged('what was flushed is there')).length, 0);
    t.equal((await again.stop()).code, 0);
    t.same(readdirSync(killed.state), [], 'a clean stop leaves no note');
  });
}

for (const [what, bytes] of [
  ['an empty file', 0],
  ['another image', 8 * MIB],
] as const) {
  t.test(`${what} that lies there meanwhile is not taken for it`, async (t) => {
    const killed = await killedAndAway(t, 'strict');
    writeFileSync(killed.o.image!, '');
    truncateSync(killed.o.image!, bytes);
    t.match(await failedStart(t, killed.o), { code: 3 });
  });
}

t.test('the printed line forgets it, by a link too', async (t) => {
  const killed = await killedAndAway(t, 'volatile', 'link/swap.img');
  const { code, stderr } = await failedStart(t, killed.o);
  t.equal(code, 3, stderr);
  const [, line = ''] = /`(STATE_DIRECTORY=[^`]* image reset [^`]*)`/.exec(stderr) ?? [];
  t.match(await runCommand('sh', ['-c', line]), { code: 0, stderr: /the file is missing; removed/ });
  t.same(readdirSync(killed.state), []);
  const again = await startServer(t, killed.o);
  t.equal((await again.stop()).code, 0);
});

t.test(
  'the printed line of an image that is there leaves no note of it, so that a larger one can be made',
  async (t) => {
    for (const image of ['swap.img', 'link/swap.img']) {
      const killed = await killedAndAway(t, 'volatile', image);
      rmdirSync(killed.disk);
      renameSync(killed.hidden, killed.disk);
      const { code, stderr } = await failedStart(t, killed.o);
      t.equal(code, 3, stderr);
      const [, line = ''] = /`([^`]* image reset [^`]*)`/.exec(stderr) ?? [];
      t.match(await runCommand('sh', ['-c', line]), { code: 0, stderr: /discarded its content/ });
      t.same(readdirSync(killed.state), []);
      unlinkSync(killed.o.image!);
      const again = await startServer(t, { ...killed.o, size: '16MiB' });
      t.equal((await again.stop()).code, 0);
    }
  },
);

t.test('onUnclean: reset makes it', async (t) => {
  const killed = await killedAndAway(t, 'volatile');
  const again = await startServer(t, { ...killed.o, set: ['exports[0].onUnclean=reset'] });
  t.not((await again.logged('its image is gone; onUnclean is reset: starts empty')).length, 0);
  t.equal((await again.stop()).code, 0);
  t.same(readdirSync(killed.state), []);
});

t.test('an image that was stopped cleanly and is gone is made, and the log says so', async (t) => {
  const [folder, state] = [tempFolder(t), tempFolder(t)];
  const o = { size, folder, env: { STATE_DIRECTORY: state } };
  const server = await startServer(t, o);
  t.equal(readdirSync(state).length, 1);
  t.not((await server.logged(`image ${server.image} was not there: made, empty`)).length, 0);
  t.equal((await server.stop()).code, 0);
  t.same(readdirSync(state), []);
  renameSync(server.image, join(folder, 'away'));
  t.equal((await (await startServer(t, o)).stop()).code, 0);
});

t.test('a state folder that can not be written is said once, and the server serves', async (t) => {
  const exports = ['a', 'b'].map((name) => ({ name, size, image: join(tempFolder(t), name) }));
  const server = await startServer(t, { exports, env: { STATE_DIRECTORY: '/proc/self' } });
  t.equal((await server.logged("can't be noted")).length, 1);
  t.equal((await server.stop()).code, 0);
});

t.test('no file is made where devices are', async (t) => {
  const image = '/dev/zswapd-is-not-there';
  const o = { folder: tempFolder(t), size, image };
  const line = `${image}: does not exist, allowed: a device that is there`;
  t.match(await failedStart(t, o), { code: 2, stderr: line });
  const [main, , ...set] = serverArguments(o.folder, o);
  t.match(await runCommand(process.execPath, [main, 'config', 'check', ...set]), { code: 2, stderr: line });
  t.notOk(existsSync(image));
});
