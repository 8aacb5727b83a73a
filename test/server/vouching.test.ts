// The marker of a strict server beside what the server knows: what it says after a loss, in all of its places, and who waits for that.
import { existsSync, mkdirSync, readFileSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FLAG_GIVEN_UP, FLAG_SYNC_FAILED } from '#src/image/descriptor_image.js';
import { type MarkerInfo, NO_MARKER, newMarker } from '#src/image/marker.js';
import { readMark } from '#src/image/marks.js';
import { findMarkers, markerPlaces, writeMarkerTo } from '#src/image/places.js';
import { prepareImage } from '#src/image/prepare.js';
import { Vouching } from '#src/server/vouching.js';
import { doubt, VOUCH, vouchesTooMuch } from '#src/zswap/vouch.js';
import { newZswap } from '../support/pool.ts';
import { tempFolder } from '../support/tmp.ts';

/** Kept from being changed: a folder lies where the new one would be made. */
const obstruct = (path: string): void => mkdirSync(`${path}.tmp`);

function begin(t: Test, strict = true) {
  const folder = tempFolder(t);
  const [images, state] = [join(folder, 'images'), join(folder, 'state')];
  for (const one of [images, state]) mkdirSync(one);
  const path = join(images, 'image');
  const image = prepareImage({ path, bytes: 16 * 4096, direct: 'off' });
  const places = markerPlaces(image, [state], path);
  const info = newMarker(image, strict ? 'strict' : 'volatile');
  writeMarkerTo(places, info);
  const { shared } = newZswap({ strict: true, exports: [{ name: 'a', pages: 16, memcg: 0 }] });
  const told: string[] = [];
  const served = [{ image, places, before: NO_MARKER, reset: false, touched: true }];
  const vouching = new Vouching(shared, served, (_, text) => told.push(text));
  vouching.begin([info]);
  const at = (place: string): string => (JSON.parse(readFileSync(place, 'utf8')) as MarkerInfo).durability;
  const says = (): string[] => [at(places.path), at(places.notes[0]), ...marked()];
  /** Where the file system has attributes. */
  const marked = (): string[] => {
    const { state } = readMark(places.marked!);
    return state === null || state === 'unreadable' ? [] : [state.durability];
  };
  return { vouching, shared, places, folder, told, at, says, marked, next: () => findMarkers(places).state };
}

t.test('who doubts is waited for, and then no place says any more that it vouches', async (t) => {
  const { vouching, shared, says, told } = begin(t);
  t.notOk(vouchesTooMuch(shared, 0));
  t.equal(await vouching.settle(0), 0);
  t.same(new Set(says()), new Set(['strict']));
  doubt(shared, 0);
  t.ok(vouchesTooMuch(shared, 0));
  t.equal(await vouching.settle(0), 0);
  t.same(new Set(says()), new Set(['volatile']));
  t.notOk(vouchesTooMuch(shared, 0));
  doubt(shared, 0);
  t.notOk(vouchesTooMuch(shared, 0), 'once is for good');
  t.match(told, [/^a page was lost/]);
  t.equal(told.length, 1);
});

for (const flag of [FLAG_GIVEN_UP, FLAG_SYNC_FAILED]) {
  t.test(`a sync that has failed is as bad, flag ${flag}`, async (t) => {
    const { vouching, shared, says } = begin(t);
    shared.imageFlags[0][flag] = 1;
    t.ok(vouchesTooMuch(shared, 0));
    t.equal(await vouching.settle(0), 0);
    t.same(new Set(says()), new Set(['volatile']));
  });
}

t.test(
  'a marker that can not be changed is an error, tried again without being asked; its note tells the next start',
  async (t) => {
    const { vouching, shared, places, told, at, next } = begin(t);
    obstruct(places.path);
    doubt(shared, 0);
    t.equal(await vouching.settle(0), 5);
    t.equal(await vouching.settle(0), 5);
    t.match(told, [/no FLUSH is answered well: .*\.tmp: is a folder/]);
    t.equal(told.length, 1, 'said once');
    t.ok(vouchesTooMuch(shared, 0));
    t.equal(at(places.path), 'strict');
    t.match(next(), { durability: 'volatile' });
    rmdirSync(`${places.path}.tmp`);
    while (at(places.path) === 'strict') await new Promise((resolve) => setTimeout(resolve, 10));
  },
);

t.test('a note that can not be changed keeps the marker from nothing', async (t) => {
  const { vouching, shared, places, at, next } = begin(t);
  obstruct(places.notes[0]);
  doubt(shared, 0);
  t.equal(await vouching.settle(0), 0);
  t.same([at(places.path), at(places.notes[0])], ['volatile', 'strict']);
  t.match(next(), { durability: 'volatile' });
});

t.test('a note of another server says nothing of this marker', async (t) => {
  const { vouching, shared, places, next } = begin(t);
  obstruct(places.path);
  doubt(shared, 0);
  await vouching.settle(0);
  rmdirSync(`${places.path}.tmp`);
  const marker = JSON.parse(readFileSync(places.path, 'utf8'));
  writeMarkerTo({ ...places, notes: [] }, { ...marker, pid: marker.pid + 1 });
  t.match(next(), { durability: 'strict' });
});

t.test('a marker that was moved with its folder is found beside the image', async (t) => {
  const { vouching, shared, places, folder, at, marked } = begin(t);
  const moved = join(folder, 'moved');
  renameSync(join(folder, 'images'), moved);
  doubt(shared, 0);
  t.equal(await vouching.settle(0), 0);
  t.equal(at(join(moved, 'image.zswapd')), 'volatile');
  t.equal(at(places.notes[0]), 'volatile');
  t.notOk(marked().includes('strict'));
});

t.test('of a marker that is gone, what else there is says so', async (t) => {
  const { vouching, shared, places, at, marked } = begin(t);
  rmSync(places.path);
  doubt(shared, 0);
  t.equal(await vouching.settle(0), 0);
  t.equal(at(places.notes[0]), 'volatile');
  t.notOk(marked().includes('strict'));
  t.notOk(existsSync(places.path));
  t.equal(await vouching.giveUp(0), 'its marker is gone too');
});

t.test('the end of an export that is not whole', async (t) => {
  const { vouching, says } = begin(t);
  t.equal(await vouching.giveUp(0), 'its marker stays');
  t.same(new Set(says()), new Set(['volatile']));
  const stuck = begin(t);
  obstruct(stuck.places.path);
  t.match(await stuck.vouching.giveUp(0), /^its marker stays as it was, because it can't be changed .* by hand$/);
});

t.test('the end of one that is whole comes behind what is done to its marker, and nothing after it', async (t) => {
  const { vouching, shared, places, at } = begin(t);
  doubt(shared, 0);
  const settled = vouching.settle(0);
  const seen = await vouching.end(0, async () => at(places.path));
  t.equal(seen, 'volatile');
  t.equal(await settled, 0);
  shared.vouch[0] = VOUCH.NO;
  doubt(shared, 0);
  t.notOk(vouchesTooMuch(shared, 0));
});

t.test('a server that never vouched has nothing to take back', async (t) => {
  const { vouching, shared, told } = begin(t, false);
  doubt(shared, 0);
  t.notOk(vouchesTooMuch(shared, 0));
  t.equal(await vouching.settle(0), 0);
  t.same(told, []);
});
