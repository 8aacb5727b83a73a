// The marker of a strict server beside what the server knows: what it says after each loss, and who waits for that.
import { mkdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FLAG_GIVEN_UP, FLAG_SYNC_FAILED } from '#src/image/descriptor_image.js';
import { NO_MARKER, newMarker } from '#src/image/marker.js';
import { findMarkers, markerPlaces, writeMarkerTo } from '#src/image/places.js';
import { prepareImage } from '#src/image/prepare.js';
import { clearBit, setBit } from '#src/pool/bits.js';
import { Vouching } from '#src/server/vouching.js';
import { isWhole, marksTooLittle, marksWrong, VOUCH } from '#src/zswap/vouch.js';
import { newZswap } from '../support/pool.ts';
import { tempFolder } from '../support/tmp.ts';

function begin(t: Test, strict = true) {
  const folder = tempFolder(t);
  const path = join(folder, 'image');
  const image = prepareImage({ path, bytes: 16 * 4096, direct: 'off' });
  const state = join(folder, 'state');
  mkdirSync(state);
  const places = { ...markerPlaces(image, [state], path), marked: null };
  writeMarkerTo(places, newMarker(image, strict ? 'strict' : 'volatile'));
  const { shared } = newZswap({ strict: true, exports: [{ name: 'a', pages: 16, memcg: 0 }] });
  const images = [{ image, places, before: NO_MARKER, reset: false, touched: true }];
  const told: string[] = [];
  const vouching = new Vouching(shared, images, (_, text) => told.push(text));
  vouching.begin([strict]);
  const says = (at = places.path): string => JSON.parse(readFileSync(at, 'utf8')).durability;
  return { vouching, shared, places, told, says, lose: (slot: number) => setBit(shared.lost, 0, slot) };
}

t.test('a lost page, until it is there again', async (t) => {
  const { vouching, shared, places, told, says, lose } = begin(t);
  t.same([marksWrong(shared, 0), marksTooLittle(shared, 0), says()], [false, false, 'strict']);
  lose(3);
  t.same([marksWrong(shared, 0), marksTooLittle(shared, 0)], [true, false]);
  t.equal(await vouching.settle(0), 0);
  t.same([marksWrong(shared, 0), says(), says(places.notes[0])], [false, 'volatile', 'volatile']);
  lose(4);
  t.notOk(marksWrong(shared, 0), 'it vouches for nothing already');
  for (const slot of [3, 4]) clearBit(shared.lost, 0, slot);
  t.ok(marksTooLittle(shared, 0));
  t.equal(await vouching.settle(0), 0);
  t.same([marksTooLittle(shared, 0), says(), says(places.notes[0])], [false, 'strict', 'strict']);
  t.equal(told.length, 2);
});

t.test('who loses a page while the marker is made to vouch again is not vouched for', async (t) => {
  const { vouching, shared, says, lose } = begin(t);
  lose(3);
  await vouching.settle(0);
  clearBit(shared.lost, 0, 3);
  const settled = vouching.settle(0);
  await Promise.resolve();
  t.equal(shared.vouch[0], VOUCH.CHANGING);
  lose(5);
  t.ok(marksWrong(shared, 0), 'a FLUSH that ends now waits');
  await settled;
  t.same([marksWrong(shared, 0), says()], [false, 'volatile']);
});

for (const flag of [FLAG_GIVEN_UP, FLAG_SYNC_FAILED]) {
  t.test(`a sync that has failed is for good, flag ${flag}`, async (t) => {
    const { vouching, shared, says } = begin(t);
    shared.imageFlags[0][flag] = 1;
    t.notOk(isWhole(shared, 0));
    t.equal(await vouching.settle(0), 0);
    t.same([marksTooLittle(shared, 0), says()], [false, 'volatile']);
  });
}

t.test('a marker that can not be changed is an error, and its note tells the next start', async (t) => {
  const { vouching, shared, places, told, says, lose } = begin(t);
  lose(3);
  mkdirSync(`${places.path}.tmp`);
  t.equal(await vouching.settle(0), 5);
  t.match(told, [/no FLUSH is answered well: .*\.tmp: is a folder/]);
  t.ok(marksWrong(shared, 0), 'the next FLUSH tries again');
  t.equal(says(), 'strict');
  t.match(findMarkers(places).state, { durability: 'volatile' });
  rmdirSync(`${places.path}.tmp`);
  t.equal(await vouching.settle(0), 0);
  t.equal(says(), 'volatile');
});

t.test('a note of another server says nothing of this marker', async (t) => {
  const { vouching, places, lose } = begin(t);
  lose(3);
  mkdirSync(`${places.path}.tmp`);
  await vouching.settle(0);
  rmdirSync(`${places.path}.tmp`);
  const marker = JSON.parse(readFileSync(places.path, 'utf8'));
  writeMarkerTo({ ...places, notes: [] }, { ...marker, pid: marker.pid + 1 });
  t.match(findMarkers(places).state, { durability: 'strict' });
});

t.test('without its marker, of one that never vouched, and at its end nothing is vouched for again', async (t) => {
  const gone = begin(t);
  rmSync(gone.places.path);
  gone.lose(3);
  t.equal(await gone.vouching.settle(0), 0);
  const never = begin(t, false);
  never.lose(3);
  t.notOk(marksWrong(never.shared, 0));
  const ended = begin(t);
  t.equal(await ended.vouching.giveUp(0), 'its marker stays');
  for (const { vouching, shared, says } of [never, ended]) {
    clearBit(shared.lost, 0, 3);
    t.notOk(marksTooLittle(shared, 0));
    t.equal(await vouching.settle(0), 0);
    t.equal(says(), 'volatile');
  }
});
