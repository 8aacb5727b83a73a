// The marker: written whole, read back, and taken for the worst when it can't be understood.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  type MarkerInfo,
  markerBeside,
  markerOfDevice,
  newMarker,
  readMarker,
  removeMarker,
  writeMarker,
} from '#src/image/marker.js';
import { changeVouchLater } from '#src/image/places.js';
import { tempFolder } from '../support/tmp.ts';
import { mount, mountsMissing } from './images.ts';

const info: MarkerInfo = {
  identity: '1:2',
  durability: 'strict',
  bootId: 'b',
  pid: 7,
  started: '2026-01-01T00:00:00.000Z',
};

t.test('a marker comes back as it was written, and goes', async (t) => {
  const folder = tempFolder(t);
  const path = markerBeside(join(folder, 'image'));
  t.equal(path, join(folder, 'image.zswapd'));
  t.equal(readMarker(path), null);
  writeMarker(path, { ...info, durability: 'volatile' });
  writeMarker(path, info);
  t.same(readMarker(path), info);
  t.same(readdirSync(folder), ['image.zswapd']);
  removeMarker(path);
  removeMarker(path);
  t.notOk(existsSync(path));
});

t.test('the marker of this process', async (t) => {
  const path = join(tempFolder(t), 'm');
  const marker = newMarker({ identity: '1:2', bytes: 4096 }, 'volatile');
  t.match(marker, { pid: process.pid, bootId: /^[0-9a-f-]{36}$/, bytes: 4096 });
  writeMarker(path, marker);
  t.same(readMarker(path), marker);
});

t.test('a marker of a boot that is not known comes back as such', async (t) => {
  const path = join(tempFolder(t), 'm');
  writeMarker(path, { ...info, bootId: null });
  t.same(readMarker(path), { ...info, bootId: null });
});

t.test('what is not a marker is unreadable', async (t) => {
  const path = join(tempFolder(t), 'm');
  const broken = ['', '{', 'null', '[]', '"volatile"', JSON.stringify({ ...info, durability: 'none' })];
  for (const key of Object.keys(info)) broken.push(JSON.stringify({ ...info, [key]: undefined }));
  broken.push(JSON.stringify({ ...info, bytes: -1 }));
  for (const text of broken) {
    writeFileSync(path, text);
    t.equal(readMarker(path), 'unreadable', text);
  }
});

t.test('what can not be looked at is no marker of a stale image, nor a clean one', async (t) => {
  const folder = tempFolder(t);
  const [loop, fifo, file] = ['loop', 'fifo', 'file'].map((name) => join(folder, name));
  symlinkSync(loop, loop);
  execFileSync('mkfifo', [fifo]);
  writeFileSync(file, '');
  for (const [path, why] of [
    [folder, 'is no file'],
    [fifo, 'is no file'],
    [loop, "can't be read (ELOOP)"],
    [join(file, 'm'), "can't be read (ENOTDIR)"],
    [join(folder, 'x'.repeat(256)), "can't be read (ENAMETOOLONG)"],
  ] as const)
    t.throws(() => readMarker(path), { name: 'ImageError', kind: 'marker', message: `${path}: ${why}` }, why);
});

t.test('a failed write leaves nothing', async (t) => {
  const folder = tempFolder(t);
  const path = join(folder, 'm');
  mkdirSync(path);
  t.throws(() => writeMarker(path, info), { code: 'EISDIR' });
  t.same(readdirSync(folder), ['m']);
});

t.test('where no temporary file can be made, none is said to be left', async (t) => {
  const file = join(tempFolder(t), 'file');
  writeFileSync(file, '');
  try {
    writeMarker(join(file, 'm'), info);
    t.fail('wrote a marker below a file');
  } catch (error) {
    t.match(error, { code: 'ENOTDIR' });
    t.notMatch(String(error), 'is left');
  }
});

/** What others may put where the temporary file of a marker is to be; `file`: one that is theirs. */
const IN_THE_WAY: Readonly<Record<string, (temporary: string, file: string) => void>> = {
  'a link': (temporary, file) => symlinkSync(file, temporary),
  'a link that leads nowhere': (temporary, file) => symlinkSync(`${file}.missing`, temporary),
  'a second name': (temporary, file) => linkSync(file, temporary),
  'a file of before': (temporary) => writeFileSync(temporary, 'half a mark'),
  // Last, because who opens one waits.
  'a FIFO': (temporary) => execFileSync('mkfifo', [temporary]),
};

for (const [what, plant] of Object.entries(IN_THE_WAY)) {
  t.test(`${what} where the temporary file is to be is neither written to nor waited for`, async (t) => {
    const folder = tempFolder(t);
    const [path, file] = [join(folder, 'm'), join(tempFolder(t), 'file')];
    const places = { path, older: [], marked: null, ofParts: { markers: [], marks: [] }, file: null, notes: [] };
    const isOurs = (): void => {
      t.ok(lstatSync(path).isFile());
      t.equal(lstatSync(path).mode & 0o777, 0o600);
      t.equal(lstatSync(path).nlink, 1);
      t.equal(readFileSync(file, 'utf8'), 'of somebody');
      t.notOk(existsSync(`${file}.missing`));
      t.same(readdirSync(folder), ['m']);
    };
    writeFileSync(file, 'of somebody', { mode: 0o644 });
    plant(`${path}.tmp`, file);
    writeMarker(path, info);
    t.same(readMarker(path), info);
    isOurs();
    plant(`${path}.tmp`, file);
    t.ok(await changeVouchLater(places, 'volatile'));
    t.same(readMarker(path), { ...info, durability: 'volatile' });
    isOurs();
  });
}

t.test('a folder where the temporary file is to be stays, and is named', async (t) => {
  const path = join(tempFolder(t), 'm');
  const places = { path, older: [], marked: null, ofParts: { markers: [], marks: [] }, file: null, notes: [] };
  writeMarker(path, info);
  mkdirSync(`${path}.tmp`);
  const expected = { code: 'EISDIR', message: `${path}.tmp: is a folder, allowed: nothing of that name` };
  t.throws(() => writeMarker(path, info), expected);
  await t.rejects(changeVouchLater(places, 'volatile'), expected);
  t.ok(existsSync(`${path}.tmp`));
});

t.test('a long identity of a device still fits a file name', async (t) => {
  const name = (identity: string) => markerOfDevice(identity, '/state');
  t.ok(name('x'.repeat(5000)).length < 255);
  t.not(name('x'.repeat(5000)), name('x'.repeat(5001)));
  t.not(name('a/b'), name('a_b'));
});

t.test('what is longer than a marker is none, and stays', async (t) => {
  const folder = tempFolder(t);
  const path = join(folder, 'm');
  const long = Buffer.alloc(70_000, 'x');
  writeFileSync(path, long);
  t.throws(() => readMarker(path), { kind: 'marker', message: `${path}: is no marker, but a file of 70000 bytes, so` });
  const other = join(folder, 'n');
  writeFileSync(`${other}.tmp`, long);
  t.throws(() => writeMarker(other, info), { message: `${other}.tmp: 70000 bytes, which no marker of ours has` });
  t.same(readFileSync(`${other}.tmp`), long);
  t.notOk(existsSync(other));
});

t.test('on a full disk a marker is written where the one before was', { skip: mountsMissing() }, async (t) => {
  for (const later of [false, true]) {
    const folder = mount(t, 'tmpfs', 'none', 'size=64k');
    const path = join(folder, 'm');
    writeMarker(path, { ...info, pid: 123_456_789 });
    t.throws(() => writeFileSync(join(folder, 'filler'), Buffer.alloc(70_000)), { code: 'ENOSPC' });
    t.throws(() => writeMarker(join(folder, 'other'), info), { code: 'ENOSPC' }, 'there was none');
    if (later) await changeVouchLater({ path, older: [], marked: null, notes: [] }, 'volatile');
    else writeMarker(path, info);
    t.same(readMarker(path), later ? { ...info, pid: 123_456_789, durability: 'volatile' } : info);
    t.same(readdirSync(folder).sort(), ['filler', 'm']);
  }
});
