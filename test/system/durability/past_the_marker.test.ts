// One image under several names, and in several places: it is served by one server at a time, and its marker is found.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { STATE_FOLDER } from '#src/config/state_folder.js';
import { loopOver as loop, ZRAM, zramDevice } from '../../image/images.ts';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { missing } from '../../support/requires.ts';
import { runCommand } from '../../support/run_process.ts';
import { tempFolder } from '../../support/tmp.ts';
import { MAIN, type ServerOptions } from '../../support/zswapd.ts';
import { isMarked, MIB, markerOf, writeSlots } from './images.ts';

const SIZE = '8MiB';
const skip = missing('root', '/dev/loop-control');

t.setTimeout(180_000);

function file(t: Test, bytes = 8 * MIB): string {
  const path = join(tempFolder(t), 'disk');
  writeFileSync(path, '');
  truncateSync(path, bytes);
  return path;
}

/** A server that was killed with data in its pool. */
async function killed(t: Test, o: ServerOptions): Promise<void> {
  const server = await startServer(t, { size: SIZE, ...o });
  await writeSlots(await server.connect(), 0, 64);
  await server.kill9();
}

t.test('a file that a server has is not served as a loop device, nor a second one over it', { skip }, async (t) => {
  const image = file(t);
  const server = await startServer(t, { size: SIZE, image });
  const device = loop(t, image);
  t.match(await failedStart(t, { size: SIZE, image: device }), { code: 2, stderr: /is in use by another/ });
  t.equal((await server.stop()).code, 0);
  const onDevice = await startServer(t, { size: SIZE, image: device });
  t.match(await failedStart(t, { size: SIZE, image }), {
    code: 2,
    stderr: /is the file behind \/dev\/loop\d+, allowed/,
  });
  const twin = loop(t, image);
  t.match(await failedStart(t, { size: SIZE, image: twin }), { code: 2, stderr: /is in use by another/ });
  t.equal((await onDevice.stop()).code, 0);
});

t.test('different parts of a file are different images', { skip }, async (t) => {
  const image = file(t, 16 * MIB);
  const parts = [0, 8 * MIB].map((at) => loop(t, image, '-o', String(at), '--sizelimit', String(8 * MIB)));
  const exports = parts.map((part, x) => ({ name: `swap${x}`, size: SIZE, image: part }));
  const server = await startServer(t, { exports });
  t.equal((await server.stop()).code, 0);
});

t.test('killed on a loop device, stale as a file, and as another device', { skip }, async (t) => {
  const image = file(t);
  const first = execFileSync('losetup', ['-f', '--show', image], { encoding: 'utf8' }).trim();
  try {
    await killed(t, { image: first });
  } finally {
    execFileSync('losetup', ['-d', first]);
  }
  t.match(await failedStart(t, { size: SIZE, image }), { code: 3 });
  t.match(await failedStart(t, { size: SIZE, image: loop(t, image) }), { code: 3 });
});

t.test(
  'a marker of a loop device that an earlier version left in var/ is found, and goes with a reset',
  { skip },
  async (t) => {
    const image = file(t);
    const device = loop(t, image);
    await killed(t, { image: device });
    const name = `${encodeURIComponent(`loop/backing_file=${image}:loop/offset=0`)}.zswapd`;
    mkdirSync(STATE_FOLDER, { recursive: true });
    const old = join(STATE_FOLDER, name);
    t.teardown(() => rmSync(old, { force: true }));
    copyFileSync(markerOf(image), old);
    rmSync(markerOf(image));
    // Nor did that version mark the file itself.
    await runCommand('python3', ['-c', `import os; os.removexattr('${image}', 'user.zswapd')`]);
    t.match(await failedStart(t, { size: SIZE, image: device }), { code: 3 });
    t.match(await runCommand(process.execPath, [MAIN, 'image', 'reset', device]), { code: 0, stderr: old });
    t.notOk(readdirSync(STATE_FOLDER).includes(name));
  },
);

t.test('a file that is mounted as a single file is refused: its marker would stay there', { skip }, async (t) => {
  const image = file(t);
  const point = join(tempFolder(t), 'a mount');
  writeFileSync(point, '');
  execFileSync('mount', ['--bind', image, point]);
  t.teardown(() => execFileSync('umount', [point]));
  const refused = await failedStart(t, { size: SIZE, image: point });
  t.match(refused, { code: 2, stderr: /is mounted there as a single file, allowed: mount its folder/ });
  t.equal((await (await startServer(t, { size: SIZE, image })).stop()).code, 0);
});

t.test(
  'a service manager has a folder for the markers of block devices',
  { skip: missing('root', ZRAM) },
  async (t) => {
    const device = zramDevice(t, 64 * MIB);
    const [state, other] = [tempFolder(t), tempFolder(t)];
    const env = { STATE_DIRECTORY: `${state}:${other}` };
    await killed(t, { image: device, env });
    t.equal(readdirSync(state).length, 2, 'the marker is there, and the note of the path');
    const { code, stderr } = await failedStart(t, { size: SIZE, image: device, env });
    t.equal(code, 3);
    const [, line = ''] = /`(STATE_DIRECTORY=[^`]* image reset [^`]*)`/.exec(stderr) ?? [];
    t.match(await runCommand(process.execPath, [MAIN, 'image', 'reset', device]), {
      stderr: /is not stale by .*\/var,/,
    });
    t.match(await runCommand('sh', ['-c', line]), { code: 0, stderr: /discarded its content/ });
    t.same(readdirSync(state), []);
    const again = await startServer(t, { size: SIZE, image: device, env });
    t.equal((await again.stop()).code, 0);
    t.same(readdirSync(state), []);
  },
);

t.test('an image that was moved, or copied with its attributes, takes its mark along', async (t) => {
  const folder = tempFolder(t);
  const image = join(folder, 'swap0.img');
  await killed(t, { folder });
  const [copy, moved] = [join(folder, 'copy.img'), join(folder, 'moved.img')];
  execFileSync('cp', ['--preserve=all', image, copy]);
  renameSync(image, moved);
  for (const [path, what] of [
    [copy, /is not the image that its last server .* had when it ended/],
    [moved, /stale, because its last server/],
  ] as const) {
    t.match(await failedStart(t, { size: SIZE, image: path }), { code: 3, stderr: what });
    const reset = await runCommand(process.execPath, [MAIN, 'image', 'reset', path]);
    t.match(reset, { code: 0, stderr: /took the mark from the file/ });
    t.equal((await (await startServer(t, { size: SIZE, image: path })).stop()).code, 0);
  }
  t.match(await runCommand(process.execPath, [MAIN, 'image', 'reset', image]), {
    code: 0,
    stderr: /the file is missing/,
  });
  t.notOk(isMarked(image));
});

t.test('strict: an image that was moved on its file system is served where it is now', async (t) => {
  const server = await startServer(t, { size: SIZE, set: ['durability=strict'] });
  const client = await server.connect();
  await writeSlots(client, 0, 64);
  await client.flush();
  await server.kill9();
  const moved = join(server.folder, 'moved.img');
  renameSync(server.image, moved);
  const again = await startServer(t, { size: SIZE, image: moved, set: ['durability=strict'] });
  t.not((await again.logged('what was flushed is there')).length, 0);
  t.equal((await again.stop()).code, 0);
});

t.test('an image that was stopped cleanly carries nothing: moved or copied it is served', async (t) => {
  const server = await startServer(t, { size: SIZE });
  t.equal((await server.stop()).code, 0);
  const [copy, moved] = [join(server.folder, 'copy.img'), join(server.folder, 'moved.img')];
  execFileSync('cp', ['--preserve=all', server.image, copy]);
  renameSync(server.image, moved);
  for (const image of [copy, moved]) {
    t.equal((await (await startServer(t, { size: SIZE, image })).stop()).code, 0);
  }
});
