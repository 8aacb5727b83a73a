// A file and its parts, through loop devices with an offset: what is stale as one is stale as the other.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { loopOver } from '../../image/images.ts';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { missing } from '../../support/requires.ts';
import { runAt } from '../../support/run_process.ts';
import { tempFolder } from '../../support/tmp.ts';
import { until } from '../../support/until.ts';
import { MAIN } from '../../support/zswapd.ts';
import { MIB, writeSlots } from './images.ts';

const skip = missing('root', '/dev/loop-control');

t.setTimeout(180_000);

interface Disk {
  path: string;
  env: { STATE_DIRECTORY: string };
}

function disk(t: Test): Disk {
  const path = join(tempFolder(t), 'disk');
  writeFileSync(path, '');
  truncateSync(path, 16 * MIB);
  return { path, env: { STATE_DIRECTORY: tempFolder(t) } };
}

/** Kills a server on this image with 64 slots written. */
async function killed(t: Test, { env }: Disk, image: string, size: string): Promise<void> {
  const server = await startServer(t, { size, image, env });
  await writeSlots(await server.connect(), 0, 64);
  await server.kill9();
}

/** Where nothing is noted of a device that had the same number before. */
function elsewhere(t: Test, d: Disk): Disk {
  return { ...d, env: { STATE_DIRECTORY: tempFolder(t) } };
}

/** Does something with the bytes of a file from `mib` on, as a device. */
async function withPart<T>(path: string, mib: number, work: (device: string) => Promise<T>): Promise<T> {
  const offset = ['-o', String(mib * MIB), '--sizelimit', String(8 * MIB)];
  const device = execFileSync('losetup', ['-f', '--show', ...offset, path], { encoding: 'utf8' }).trim();
  try {
    return await work(device);
  } finally {
    execFileSync('losetup', ['-d', device]);
  }
}

const reset = (d: Disk, image: string) => runAt('.', process.execPath, [MAIN, 'image', 'reset', image], d.env);

async function served(t: Test, d: Disk, image: string, size: string): Promise<void> {
  const server = await startServer(t, { size, image, env: d.env });
  t.equal((await server.stop()).code, 0);
}

t.test('killed on a file: its parts are stale until the file is reset', { skip }, async (t) => {
  const d = disk(t);
  await killed(t, d, d.path, '16MiB');
  await withPart(d.path, 8, async (image) => {
    for (const onUnclean of ['refuse', 'reset', 'serve']) {
      const { code, stderr } = await failedStart(t, {
        exports: [{ name: 'a', size: '8MiB', image, onUnclean }],
        env: d.env,
      });
      t.match([code, stderr], [3, `is a part of ${d.path}, and ${d.path}.zswapd tells that its last server`]);
    }
    t.match(await reset(d, image), { code: 3, stderr: `image reset ${d.path}` }, 'nor can a part be reset alone');
  });
  execFileSync('rm', [`${d.path}.zswapd`]);
  await withPart(d.path, 8, async (image) => {
    const { code, stderr } = await failedStart(t, { size: '8MiB', image, env: d.env });
    t.match([code, stderr], [3, 'the attribute user.zswapd of it tells']);
  });
  t.match(await reset(d, d.path), { code: 0 });
  await withPart(d.path, 8, (image) => served(t, d, image, '8MiB'));
});

t.test('killed on a part: the file is stale, and so is a part that it meets, but no other', { skip }, async (t) => {
  const d = disk(t);
  await withPart(d.path, 8, (image) => killed(t, d, image, '8MiB'));
  for (const onUnclean of ['refuse', 'reset', 'serve']) {
    const { code, stderr } = await failedStart(t, {
      exports: [{ name: 'a', size: '16MiB', image: d.path, onUnclean }],
      env: d.env,
    });
    t.match(
      [code, stderr],
      [3, /: bytes 8388608 to 16777216 of .* are stale: .*\/disk\.part-8388608-16777216\.zswapd tells/],
    );
  }
  await withPart(d.path, 4, async (image) => {
    const { code, stderr } = await failedStart(t, { size: '8MiB', image, env: d.env });
    t.match([code, stderr], [3, /bytes 8388608 to 16777216 of .*\/disk are stale: .*\.zswapd tells/]);
  });
  await withPart(d.path, 0, (image) => served(t, elsewhere(t, d), image, '8MiB'));
  await withPart(d.path, 8, async (image) => {
    const server = await startServer(t, {
      exports: [{ name: 'a', size: '8MiB', image, onUnclean: 'serve' }],
      env: d.env,
    });
    t.equal((await server.stop()).code, 0);
  });
  await served(t, d, d.path, '16MiB');
  t.same(readdirSync(dirname(d.path)), [basename(d.path)]);
});

t.test('a reset of the part, by the printed lines, leaves the rest of the file alone', { skip }, async (t) => {
  const d = disk(t);
  writeFileSync(d.path, 'of somebody', { flag: 'r+' });
  await withPart(d.path, 8, (image) => killed(t, d, image, '8MiB'));
  const { code, stderr } = await reset(d, d.path);
  const [, attach = '', line = ''] = /`(losetup [^`]*)`, then `([^`]*image reset) DEVICE`/.exec(stderr) ?? [];
  t.equal(code, 3, 'the file is not reset for a part of it');
  const device = execFileSync('sh', ['-c', attach], { encoding: 'utf8' }).trim();
  try {
    t.match(await runAt('.', 'sh', ['-c', `${line} ${device}`], d.env), {
      code: 0,
      stderr: /discarded its content \(8MiB/,
    });
  } finally {
    execFileSync('losetup', ['-d', device]);
  }
  await served(t, d, d.path, '16MiB');
  t.equal(readFileSync(d.path, 'utf8').slice(0, 11), 'of somebody');
});

t.test(
  'killed on a part: the file is stale where it was moved, and where its attributes were lost',
  { skip },
  async (t) => {
    const d = disk(t);
    await withPart(d.path, 8, (image) => killed(t, d, image, '8MiB'));
    const [moved, copy] = [join(tempFolder(t), 'moved'), `${d.path}.copy`];
    execFileSync('cp', [d.path, copy]);
    renameSync(d.path, moved);
    renameSync(copy, d.path);
    for (const image of [d.path, moved]) {
      const { code, stderr } = await failedStart(t, { size: '16MiB', image, env: d.env });
      t.match([code, stderr], [3, /bytes 8388608 to 16777216 of .* are stale/]);
      t.match(await withPart(image, 8, (device) => reset(d, device)), { code: 0, stderr: /discarded its content/ });
      await served(t, d, image, '16MiB');
    }
  },
);

t.test('a file that is named as a part of another is no image', async (t) => {
  const image = join(tempFolder(t), 'disk.part-0-8388608');
  t.match(await failedStart(t, { size: '8MiB', image }), { code: 2, stderr: /allowed: another name/ });
  t.notOk(existsSync(image));
});

t.test('a loop device is no image while another one shows bytes of it', { skip }, async (t) => {
  const d = disk(t);
  const name = `${d.path} with a blank at its end `;
  renameSync(d.path, name);
  const whole = loopOver(t, name);
  const part = loopOver(t, name, '-o', String(8 * MIB));
  for (const [image, size, other] of [
    [whole, '16MiB', part],
    [part, '8MiB', whole],
    [name, '16MiB', '/dev/loop'],
  ]) {
    const { code, stderr } = await failedStart(t, { size, image, env: d.env });
    t.match([code, stderr], [2, `losetup -d ${other}`]);
  }
});

t.test('a part of a file that has gone, or is shorter, can be forgotten', { skip }, async (t) => {
  const d = disk(t);
  await withPart(d.path, 8, (image) => killed(t, d, image, '8MiB'));
  const start = (size: string) => failedStart(t, { size, image: d.path, env: d.env });
  truncateSync(d.path, 12 * MIB);
  const device = `losetup -f --show -o ${8 * MIB} --sizelimit ${8 * MIB} ${d.path}`;
  t.match(await start('12MiB'), { code: 3, stderr: `\`truncate -s ${16 * MIB} ${d.path}\`, then \`${device}\`` });
  rmSync(d.path);
  t.match(await start('16MiB'), { code: 3, stderr: `or a new one after \`` });
  t.notOk(existsSync(d.path));
  const marker = `${d.path}.part-${8 * MIB}-${16 * MIB}.zswapd`;
  t.match(await reset(d, d.path), { code: 0, stderr: `the file is missing; removed ${marker}` });
  await served(t, d, d.path, '16MiB');
});

t.test('a file that is stale as a whole and as a part is reset as a whole', { skip }, async (t) => {
  const d = disk(t);
  await withPart(d.path, 8, (image) => killed(t, d, image, '8MiB'));
  renameSync(d.path, `${d.path}.away`);
  execFileSync('rm', [`${d.path}.part-${8 * MIB}-${16 * MIB}.zswapd`]);
  const o = elsewhere(t, d);
  await killed(t, o, d.path, '16MiB');
  renameSync(`${d.path}.away`, d.path);
  const { code, stderr } = await failedStart(t, { size: '16MiB', image: d.path, env: o.env });
  t.match([code, stderr], [3, `image reset ${d.path}\`, which discards the content of the whole file`]);
  t.match(await reset(o, d.path), { code: 0 });
  await served(t, o, d.path, '16MiB');
  await withPart(d.path, 8, (image) => served(t, o, image, '8MiB'));
});

const qemu = missing('qemu-io', 'qemu-nbd');
const opened = (path: string) => runAt('.', 'qemu-io', ['-f', 'raw', '-c', 'write 0 4k', path]);

/** Has QEMU hold the file until the test ends. */
async function hold(t: Test, path: string): Promise<void> {
  const socket = join(tempFolder(t), 'qemu.sock');
  const held = spawn('qemu-nbd', ['-f', 'raw', '-t', '-k', socket, path]);
  t.teardown(() => void held.kill());
  await until(() => existsSync(socket));
}

t.test('QEMU and parts of its file: one of them', { skip: skip || qemu }, async (t) => {
  const d = disk(t);
  const [first, second] = [0, 8].map((mib) =>
    loopOver(t, d.path, '-o', String(mib * MIB), '--sizelimit', String(8 * MIB)),
  );
  const both = [
    await startServer(t, { size: '8MiB', image: first }),
    await startServer(t, { size: '8MiB', image: second }),
  ];
  for (const server of both) {
    t.match(await opened(d.path), { code: 1, stderr: /lock/ });
    t.equal((await server.stop()).code, 0);
  }
  t.match(await opened(d.path), { code: 0 });
  await hold(t, d.path);
  for (const image of [first, second])
    t.match(await failedStart(t, { size: '8MiB', image }), { code: 2, stderr: /is in use by another process/ });
});

t.test(
  'a file that QEMU has open is no image, and one that is served is not opened by QEMU',
  { skip: qemu },
  async (t) => {
    const d = disk(t);
    const server = await startServer(t, { size: '16MiB', image: d.path });
    t.match(await opened(d.path), { code: 1, stderr: /lock/ });
    t.equal((await server.stop()).code, 0);
    t.match(await opened(d.path), { code: 0 });
    await hold(t, d.path);
    t.match(await failedStart(t, { size: '16MiB', image: d.path }), {
      code: 2,
      stderr: /is in use by another process/,
    });
  },
);
