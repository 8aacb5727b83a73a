// Markers of starts that fail: what was there before is there again, byte for byte, and nothing says more than is true.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Config } from '#src/config/schema.js';
import { fileIdentity } from '#src/image/io.js';
import { releaseImage } from '#src/image/lock.js';
import { type Durability, newMarker, readMarker, writeMarker } from '#src/image/marker.js';
import { ExitError } from '#src/os/exit_error.js';
import { openImages, refuseShared, type ServedImage, takeBack, writeMarkers } from '#src/server/images.js';
import { resetImages } from '#src/server/reset_images.js';
import { tempFolder } from '../support/tmp.ts';

const BYTES = 2 ** 20;

interface Start {
  folder: string;
  marker: string;
  served: ServedImage[];
}

/** Exports `a` and `b`, of which `a` has what `leave` made of it. */
function open(
  t: Test,
  o: { onUnclean?: string; folder?: string; state?: string; leave?: (marker: string, image: string) => void },
): Start {
  const folder = o.folder ?? tempFolder(t);
  process.env.STATE_DIRECTORY = o.state ?? folder;
  const paths = ['a', 'b'].map((name) => join(folder, name));
  if (!existsSync(paths[0])) {
    writeFileSync(paths[0], 'old bytes');
    truncateSync(paths[0], BYTES);
  }
  const marker = `${paths[0]}.zswapd`;
  o.leave?.(marker, paths[0]);
  const exports = paths.map((image) => ({ image, size: BYTES, onUnclean: o.onUnclean ?? 'serve' }));
  const config = { exports, image: { direct: 'off' } } as unknown as Config;
  return { folder, marker, served: openImages(config, () => undefined) };
}

/** What a start does next with those that it is to reset. */
async function resetOf(start: Start): Promise<Start> {
  const manager = { status: () => undefined, moved: () => undefined };
  await resetImages(start.served, { manager, signals: { first: new Promise(() => undefined) }, info: () => undefined });
  return start;
}

/** Somebody moves an image of this start, and puts another in its place. */
function replaced({ folder }: Start, name: string): string {
  const path = join(folder, name);
  renameSync(path, `${path}.old`);
  writeFileSync(path, 'somebody');
  return path;
}

/** As a server of before has left it. */
const left =
  (durability: Durability, bytes = BYTES) =>
  (marker: string, image: string) =>
    writeMarker(marker, {
      ...newMarker({ identity: fileIdentity(statSync(image, { bigint: true })), bytes }, durability),
      pid: 7,
    });

/** The second marker can't be written. */
function failing({ folder, served }: Start, durability: Durability): void {
  mkdirSync(join(folder, 'b.zswapd'));
  writeFileSync(join(folder, 'b.zswapd', 'x'), '');
  let failed = false;
  try {
    writeMarkers(served, durability);
  } catch {
    failed = true;
  }
  rmSync(join(folder, 'b.zswapd'), { recursive: true });
  if (!failed) throw new Error('the markers could be written');
}

for (const before of ['volatile', 'strict'] as const) {
  for (const now of ['volatile', 'strict'] as const) {
    t.test(`a ${now} start that fails leaves the marker of a ${before} server`, async (t) => {
      const start = open(t, { leave: left(before) });
      const bytes = readFileSync(start.marker, 'utf8');
      failing(start, now);
      t.not(readFileSync(start.marker, 'utf8'), bytes, 'it was written over');
      takeBack(start.served);
      t.equal(readFileSync(start.marker, 'utf8'), bytes);
      t.same(readdirSync(start.folder).sort(), ['a', 'a.zswapd']);
    });
  }
}

t.test('a marker that is no marker comes back too', async (t) => {
  const start = open(t, { leave: (marker) => writeFileSync(marker, Buffer.from([0xff, 0, 0xfe])) });
  writeMarkers(start.served, 'strict');
  t.equal(durabilityAt(start.marker), 'volatile', 'what nobody can read is the worst case');
  takeBack(start.served);
  t.same(readFileSync(start.marker), Buffer.from([0xff, 0, 0xfe]));
});

t.test('a marker that was not written over is not touched', async (t) => {
  const start = open(t, { leave: left('volatile') });
  const { ino } = statSync(start.marker);
  takeBack(start.served);
  t.equal(statSync(start.marker).ino, ino);
});

t.test('an image that this start has reset is clean, and has no marker', async (t) => {
  const start = await resetOf(open(t, { leave: left('volatile'), onUnclean: 'reset' }));
  failing(start, 'volatile');
  takeBack(start.served);
  t.same(readdirSync(start.folder).sort(), ['a']);
  t.ok(readFileSync(join(start.folder, 'a')).every((byte) => byte === 0));
});

t.test('an image that was replaced while it was reset is refused, and what is there keeps its marker', async (t) => {
  const start = open(t, { leave: left('volatile'), onUnclean: 'reset' });
  const path = replaced(start, 'a');
  await t.rejects(resetOf(start), { exitCode: 2, message: /^exports\[0\]\.image: .*was moved, deleted or replaced/ });
  takeBack(start.served);
  t.equal(readFileSync(path, 'utf8'), 'somebody');
  t.equal(durabilityAt(start.marker), 'volatile');
});

t.test(
  'an image that this start has made, and that was replaced while another was reset, is not taken away',
  async (t) => {
    const start = open(t, { leave: left('volatile'), onUnclean: 'reset' });
    const path = replaced(start, 'b');
    await t.rejects(resetOf(start), { exitCode: 2, message: /^exports\[1\]\.image: .*was moved, deleted or replaced/ });
    takeBack(start.served);
    t.equal(readFileSync(path, 'utf8'), 'somebody');
    t.same(readdirSync(start.folder).sort(), ['a', 'b', 'b.old']);
  },
);

t.test('a start that is refused before it has reset anything leaves bytes and markers as they were', (t) => {
  const start = open(t, { leave: left('volatile'), onUnclean: 'reset' });
  takeBack(start.served);
  t.equal(durabilityAt(start.marker), 'volatile');
  t.match(readFileSync(join(start.folder, 'a'), 'latin1'), /^old bytes/);
  t.end();
});

t.test('an image that was cut to nothing is empty again, so that its strict marker vouches for no zeros', (t) => {
  const cut = (marker: string, image: string): void => {
    left('strict')(marker, image);
    truncateSync(image, 0);
  };
  const start = open(t, { leave: cut, onUnclean: 'reset' });
  t.equal(durabilityAt(start.marker), 'volatile', 'nor where the start is killed');
  takeBack(start.served);
  t.equal(statSync(join(start.folder, 'a')).size, 0);
  t.equal(durabilityAt(start.marker), 'strict');
  for (const { image } of start.served) releaseImage(image);
  t.throws(() => open(t, { folder: start.folder, onUnclean: 'refuse' }), { exitCode: 3, message: /its image is gone/ });
  t.end();
});

t.test('an image that was cut is empty before what was found beside it is there again', async (t) => {
  const start = open(t, { leave: (_, image) => truncateSync(image, 0) });
  failing(start, 'strict');
  takeBack(start.served);
  t.equal(statSync(join(start.folder, 'a')).size, 0);
  t.same(readdirSync(start.folder), ['a']);
});

t.test('what cannot be taken back does not keep the rest from it, and is said with what failed', async (t) => {
  const start = open(t, { leave: left('strict') });
  writeMarkers(start.served, 'volatile');
  mkdirSync(`${start.marker}.tmp`);
  const why = new ExitError(2, 'a port in use');
  t.throws(() => takeBack(start.served, why), { exitCode: 2, message: /^a port in use; .*a\.zswapd/, cause: why });
  t.notOk(existsSync(join(start.folder, 'b.zswapd')));
  t.notOk(existsSync(join(start.folder, 'b')));
  t.equal(durabilityAt(start.marker), 'volatile');
});

function durabilityAt(marker: string): string {
  const found = readMarker(marker);
  return found === null || found === 'unreadable' ? String(found) : found.durability;
}

t.test('a marker vouches for no more than the one that it replaces', async (t) => {
  for (const [before, now, then] of [
    ['volatile', 'volatile', 'volatile'],
    ['volatile', 'strict', 'volatile'],
    ['strict', 'volatile', 'volatile'],
    ['strict', 'strict', 'strict'],
  ] as const) {
    const { marker, served } = open(t, { leave: left(before) });
    writeMarkers(served, now);
    t.equal(durabilityAt(marker), then, `${now} after ${before}`);
  }
  for (const durability of ['volatile', 'strict'] as const) {
    const fresh = open(t, {});
    writeMarkers(fresh.served, durability);
    t.equal(durabilityAt(fresh.marker), durability);
    const reset = await resetOf(open(t, { leave: left('volatile'), onUnclean: 'reset' }));
    writeMarkers(reset.served, durability);
    t.equal(durabilityAt(reset.marker), durability, 'after a reset');
  }
});

t.test('the note of a path goes again with a start that fails, and comes back', async (t) => {
  const state = tempFolder(t);
  const start = open(t, { state });
  writeMarkers(start.served, 'volatile');
  const notes = readdirSync(state);
  t.equal(notes.length, 2);
  takeBack(start.served);
  t.same(readdirSync(state), []);
  for (const { image } of start.served) releaseImage(image);
  const [of] = notes.filter((name) => name.endsWith('a.zswapd'));
  writeFileSync(join(state, of), 'as it was');
  const again = open(t, { state, folder: start.folder });
  writeMarkers(again.served, 'volatile');
  takeBack(again.served);
  t.equal(readFileSync(join(state, of), 'utf8'), 'as it was');
  t.same(readdirSync(state), [of]);
});

t.test('what a reset has to discard does not shrink with the export', async (t) => {
  const { marker, served } = open(t, { leave: left('volatile', 4 * BYTES) });
  writeMarkers(served, 'volatile');
  t.match(readMarker(marker), { bytes: 4 * BYTES, pid: process.pid });
});

t.test('two exports of one marker are refused', (t) => {
  const { places } = open(t, {}).served[0];
  const markers = new Map<string, number>();
  refuseShared(markers, 0, '/dev/a', places);
  refuseShared(markers, 1, '/dev/b', { ...places, path: '/another' });
  t.throws(
    () => refuseShared(markers, 2, '/dev/c', places),
    /^\/dev\/c: shares its marker .* with exports\[0\]\.image/,
  );
  t.end();
});
