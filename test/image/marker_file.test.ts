// The marker: written whole, read back, and taken for the worst when it can't be read.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
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
import { tempFolder } from '../support/tmp.ts';

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

t.test('a marker that can not be opened is unreadable, and a failed write leaves nothing', async (t) => {
  const folder = tempFolder(t);
  const path = join(folder, 'm');
  mkdirSync(path);
  t.equal(readMarker(path), 'unreadable');
  t.throws(() => writeMarker(path, info), { code: 'EISDIR' });
  t.same(readdirSync(folder), ['m']);
});

t.test('a long identity of a device still fits a file name', async (t) => {
  const name = (identity: string) => markerOfDevice(identity, '/state');
  t.ok(name('x'.repeat(5000)).length < 255);
  t.not(name('x'.repeat(5000)), name('x'.repeat(5001)));
  t.not(name('a/b'), name('a_b'));
});
