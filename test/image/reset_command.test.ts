// `zswapd image reset` as a process: discards what is stale, and nothing else.
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { lockImage, releaseImage } from '#src/image/lock.js';
import { newMarker, writeMarker } from '#src/image/marker.js';
import { markerPlaces, notePlaces } from '#src/image/places.js';
import { run, runAt } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';
import { MAIN } from '../support/zswapd.ts';
import { loopDevice, mountsMissing, PAGE, prepare } from './images.ts';

const reset = (path: string) => run(MAIN, ['image', 'reset', path]);
const resetAt = (state: string, path: string) =>
  runAt(state, process.execPath, [MAIN, 'image', 'reset', path], { STATE_DIRECTORY: state });
const bytes = 16 * PAGE;

function staleImage(t: Parameters<typeof tempFolder>[0]): { path: string; marker: string } {
  const path = join(tempFolder(t), 'image');
  writeFileSync(path, 'x'.repeat(bytes));
  const marker = `${path}.zswapd`;
  writeMarker(marker, newMarker({ identity: '1:2', bytes }, 'volatile'));
  return { path, marker };
}

t.test('a stale image is emptied and its marker removed, by a link too', async (t) => {
  const { path, marker } = staleImage(t);
  const link = join(tempFolder(t), 'link');
  symlinkSync(path, link);
  t.match(await reset(link), { code: 0, stdout: '', stderr: /: was stale.* discarded its content \(64KiB of zeros\)/ });
  t.ok(readFileSync(path).equals(Buffer.alloc(bytes)));
  t.equal(statSync(path).blocks, 0);
  t.notOk(existsSync(marker));
});

t.test('an unreadable marker is reset too', async (t) => {
  const { path, marker } = staleImage(t);
  writeFileSync(marker, '{');
  t.match(await reset(path), { code: 0, stderr: /unreadable/ });
  t.notOk(existsSync(marker));
});

t.test('a note that stays does not make a reset fail, and is named', async (t) => {
  const { path, marker } = staleImage(t);
  const state = tempFolder(t);
  const [note] = notePlaces(path, [state]);
  mkdirSync(note);
  const { code, stderr } = await resetAt(state, path);
  t.equal(code, 0, stderr);
  t.match(stderr, /removed [^\n]*image\.zswapd\n[^\n]*: the note of its path can't be removed: [^\n]*by hand\n$/);
  t.notOk(existsSync(marker));
  t.ok(existsSync(note));
});

t.test('an image that is not stale keeps its content', async (t) => {
  const path = join(tempFolder(t), 'image');
  writeFileSync(path, 'x'.repeat(bytes));
  t.match(await reset(path), { code: 0, stderr: /^[^\n]*: is not stale, nothing to do\n$/ });
  t.equal(readFileSync(path, 'latin1'), 'x'.repeat(bytes));
});

t.test('an image in use is refused, and its marker stays', async (t) => {
  const { path, marker } = staleImage(t);
  prepare(t, { path, bytes, direct: 'auto' });
  t.match(await reset(path), { code: 2, stdout: '', stderr: /^[^\n]*: is in use [^\n]*\n$/ });
  t.equal(readFileSync(path, 'latin1'), 'x'.repeat(bytes));
  t.ok(existsSync(marker));
});

t.test('a missing image is a mistake of usage', async (t) => {
  t.match(await reset('/does/not/exist'), { code: 2, stderr: /^\/does\/not\/exist: can't be opened[^\n]*\n$/ });
});

/** A device twice as large as its export, full, and where a server keeps its markers. */
function fullDevice(t: Test) {
  const device = loopDevice(t, 2 * bytes);
  writeFileSync(device, 'x'.repeat(2 * bytes));
  const image = lockImage(device);
  releaseImage(image);
  const state = tempFolder(t);
  const places = markerPlaces({ ...image, file: null }, [state], device);
  return { device, identity: image.identity, marker: places.path, note: places.notes[0], state };
}

t.test(
  'a block device whose size of export nothing tells is refused and keeps its content',
  { skip: mountsMissing() },
  async (t) => {
    const { device, marker, state } = fullDevice(t);
    writeFileSync(marker, '{');
    t.match(await resetAt(state, device), {
      code: 2,
      stderr: /^[^\n]*: its marker is unreadable[^\n]* allowed: [^\n]*onUnclean=reset[^\n]*\n$/,
    });
    t.ok(readFileSync(device).equals(Buffer.alloc(2 * bytes, 'x')));
    t.ok(existsSync(marker));
  },
);

t.test(
  'beside an unreadable marker the note of a block device tells how far its export went',
  { skip: mountsMissing() },
  async (t) => {
    const { device, identity, marker, note, state } = fullDevice(t);
    writeFileSync(marker, '{');
    writeMarker(note, newMarker({ identity, bytes }, 'volatile'));
    t.match(await resetAt(state, device), { code: 0, stderr: /64KiB of zeros/ });
    t.ok(readFileSync(device).equals(Buffer.concat([Buffer.alloc(bytes), Buffer.alloc(bytes, 'x')])));
    t.notOk(existsSync(marker));
    t.notOk(existsSync(note));
  },
);

t.test('only the part of a block device that was served is discarded', { skip: mountsMissing() }, async (t) => {
  const { device, identity, marker, state } = fullDevice(t);
  writeMarker(marker, newMarker({ identity, bytes }, 'volatile'));
  t.match(await resetAt(state, device), { code: 0, stderr: /64KiB of zeros/ });
  t.notOk(existsSync(marker));
  t.ok(readFileSync(device).equals(Buffer.concat([Buffer.alloc(bytes), Buffer.alloc(bytes, 'x')])));
});

t.test(
  'what is noted of another device at this path tells nothing of this one',
  { skip: mountsMissing() },
  async (t) => {
    const { device, marker, note, state } = fullDevice(t);
    writeFileSync(marker, '{');
    writeMarker(note, newMarker({ identity: 'another', bytes: 2 * bytes }, 'volatile'));
    t.match(await resetAt(state, device), { code: 2, stderr: /its marker is unreadable/ });
    t.ok(readFileSync(device).equals(Buffer.alloc(2 * bytes, 'x')));
  },
);
