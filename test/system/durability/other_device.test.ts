// After a kill the configured path leads to another device, as names and numbers of a new boot do: it is not served for the image,
// and what it holds is not discarded. Whether the device is a part of a disk decides where the marker lies, how durable it was
// what a start makes of it: a plain run has each once, ZSWAPD_LONG=1 all pairs.
import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loopOver } from '../../image/images.ts';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { missing } from '../../support/requires.ts';
import { runCommand } from '../../support/run_process.ts';
import { tempFolder } from '../../support/tmp.ts';
import { type ServerOptions, serverArguments } from '../../support/zswapd.ts';
import { MIB, readImage, writeSlots } from './images.ts';

const SIZE = '8MiB';
const skip = missing('root', '/dev/loop-control');
const LONG = process.env.ZSWAPD_LONG === '1';

t.setTimeout(180_000);

interface Moved {
  readonly o: ServerOptions;
  readonly state: string;
  /** Where the path leads now, and what that holds. */
  readonly other: string;
  readonly bytes: Buffer;
  lead(to: 'image' | 'other'): void;
}

/** `args`: of losetup. */
async function movedAfterKill(t: Test, durability: string, ...args: string[]): Promise<Moved> {
  const folder = tempFolder(t);
  const state = tempFolder(t);
  const content = Buffer.alloc(16 * MIB, 'x');
  const [image, other] = ['a', 'b'].map((name) => {
    const file = join(folder, name);
    writeFileSync(file, content);
    return loopOver(t, file, ...args);
  });
  const path = join(folder, 'disk');
  const lead = (to: 'image' | 'other'): void => {
    rmSync(path, { force: true });
    symlinkSync(to === 'image' ? image : other, path);
  };
  lead('image');
  const o = { size: SIZE, image: path, folder, set: [`durability=${durability}`], env: { STATE_DIRECTORY: state } };
  const server = await startServer(t, o);
  const client = await server.connect();
  await writeSlots(client, 0, 64);
  if (durability === 'strict') await client.flush();
  await server.kill9();
  lead('other');
  return { o, state, other, bytes: readImage(other), lead };
}

function check({ o, state }: Moved) {
  const [main, , ...set] = serverArguments(o.folder!, o);
  return runCommand('env', [`STATE_DIRECTORY=${state}`, process.execPath, main, 'config', 'check', ...set]);
}

const PART = ['-o', String(8 * MIB)];
const NOT_IT =
  /disk: is not the image that its last server \(pid \d+, started [^)]*\) had.*; allowed: put that image back,/;

for (const durability of ['strict', 'volatile']) {
  for (const [what, args] of [
    ['a part of a disk', PART],
    ['a disk', []],
  ] as const) {
    if (!LONG && (durability === 'strict') !== (args === PART)) continue;
    t.test(`${durability}: ${what} in the place of another is refused`, { skip }, async (t) => {
      const moved = await movedAfterKill(t, durability, ...args);
      t.match(await failedStart(t, moved.o), { code: 3, stderr: NOT_IT });
      t.match(await check(moved), { code: 3, stderr: NOT_IT });
      const reset = { ...moved.o, set: ['exports[0].onUnclean=reset'] };
      t.match(await failedStart(t, reset), { code: 3, stderr: NOT_IT });
      t.ok(readImage(moved.other).equals(moved.bytes), 'it keeps what it has');
      moved.lead('image');
      if (durability === 'strict') {
        const again = await startServer(t, moved.o);
        t.not((await again.logged('what was flushed is there')).length, 0);
        t.equal((await again.stop()).code, 0);
      } else t.match(await failedStart(t, moved.o), { code: 3, stderr: /stale, because its last server/ });
    });
  }
}

t.test('the printed line forgets the image and leaves the other device alone', { skip }, async (t) => {
  const moved = await movedAfterKill(t, 'volatile', ...PART);
  const { stderr } = await failedStart(t, moved.o);
  const [, line = ''] = /`(STATE_DIRECTORY=[^`]* image reset [^`]*)`/.exec(stderr) ?? [];
  t.match(await runCommand('sh', ['-c', line]), { code: 0, stderr: /its content stays; removed [^ ]*image%20/ });
  t.ok(readImage(moved.other).equals(moved.bytes));
  const server = await startServer(t, moved.o);
  t.equal((await server.stop()).code, 0);
  t.same(readdirSync(moved.state), []);
  moved.lead('image');
  t.match(await failedStart(t, moved.o), { code: 3, stderr: /stale, because its last server/ });
});

t.test('onUnclean: serve takes it by name', { skip }, async (t) => {
  const moved = await movedAfterKill(t, 'volatile', ...PART);
  const server = await startServer(t, { ...moved.o, set: ['exports[0].onUnclean=serve'] });
  t.not(
    (await server.logged('and this is not the image that it had; onUnclean is serve: what is there is served')).length,
    0,
  );
  const client = await server.connect();
  t.equal((await client.read(0, 4)).toString(), 'xxxx');
  await client.disconnect();
  t.equal((await server.stop()).code, 0);
});

t.test('a file below a mount that is missing is not discarded', { skip }, async (t) => {
  const [root, state] = [tempFolder(t), tempFolder(t)];
  const [fs, folder] = [join(root, 'fs'), join(root, 'mnt')];
  execFileSync('sh', [
    '-c',
    `truncate -s 32M ${fs} && mkfs.ext4 -q ${fs} && mkdir ${folder} && mount -o loop ${fs} ${folder}`,
  ]);
  let mounted = true;
  t.teardown(() => mounted && execFileSync('umount', [folder]));
  const o = { size: SIZE, image: join(folder, 'i.img'), folder: root, env: { STATE_DIRECTORY: state } };
  await (await startServer(t, o)).kill9();
  execFileSync('umount', [folder]);
  mounted = false;
  const bytes = Buffer.alloc(8 * MIB, 'y');
  writeFileSync(o.image, bytes);
  for (const onUnclean of ['refuse', 'reset']) {
    t.match(await failedStart(t, { ...o, set: [`exports[0].onUnclean=${onUnclean}`] }), {
      code: 3,
      stderr: /is not the image that/,
    });
  }
  t.ok(readImage(o.image).equals(bytes));
});
