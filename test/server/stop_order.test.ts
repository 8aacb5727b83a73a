// The order of a stop, with threads that the test plays: what is said to whom, and who may say that the images are complete.
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Config } from '#src/config/schema.js';
import { IMAGE } from '#src/image/counters.js';
import { FLAG_SYNC_FAILED } from '#src/image/descriptor_image.js';
import { NO_MARKER, newMarker, writeMarker } from '#src/image/marker.js';
import { markerPlaces } from '#src/image/places.js';
import { prepareImage } from '#src/image/prepare.js';
import { setBit } from '#src/pool/bits.js';
import { takeBuffer } from '#src/pool/buffers.js';
import type { FromLane, FromShrinker, ToLane, ToShrinker } from '#src/server/messages.js';
import { type Running, stop, watch } from '#src/server/stop.js';
import type { Drained } from '#src/server/swap_control.js';
import { Vouching } from '#src/server/vouching.js';
import { onceOf } from '#src/server/wait.js';
import { rowOf } from '#src/shm/counters.js';
import { makePage, newZswap, put } from '../support/pool.ts';
import { tempFolder } from '../support/tmp.ts';

const PAGES = 16;
const ARMED = 'a further SIGTERM or SIGINT aborts the drain: pages are lost then';

function swapOf(said: string[], drains: ((drained: Drained) => void)[]) {
  return {
    verbs: [],
    stop: () => said.push('verbs refused'),
    verbEnded: async () => void said.push('verb ended'),
    drain: (x: number) => {
      said.push(`drain ${x}`);
      return new Promise<Drained>((resolve) => drains.push(resolve));
    },
  };
}

/** A log of which the texts are in `said`, and what else a line has by its text. */
function logOf(said: string[]) {
  const lines = new Map<string, Record<string, unknown>>();
  const logged = (fields: unknown, text: unknown): void => {
    said.push(String(text));
    lines.set(String(text), fields as Record<string, unknown>);
  };
  return {
    log: { logger: { info: logged, warn: logged, error: logged } },
    fields: (text: string) => lines.get(text) ?? {},
  };
}

const managerOf = (said: string[]) => {
  const say = (what: string) => () => said.push(`manager: ${what}`);
  return { ready: () => undefined, stopping: say('stopping'), moved: say('moved'), status: () => undefined };
};

/** A server of which only the images are real. What happens is in `said`, in order. */
function server(t: Test, { abortAfterMs = 60_000, connections = 0, deadline = 60_000 } = {}) {
  const path = join(tempFolder(t), 'image');
  const image = prepareImage({ path, bytes: PAGES * 4096, direct: 'off' });
  const info = newMarker(image, 'volatile');
  writeMarker(`${path}.zswapd`, info);
  const z = newZswap({ exports: [{ name: 'a', pages: PAGES, memcg: 0 }] });
  const said: string[] = [];
  const lane = onceOf<FromLane>();
  const shrinker = onceOf<FromShrinker>();
  const signals: ((signal: string) => void)[] = [];
  const drains: ((drained: Drained) => void)[] = [];
  const { log, fields } = logOf(said);
  const places = { ...markerPlaces(image, [], path), marked: null, notes: [`${path}.note`] };
  const images = [{ image, places, before: NO_MARKER, reset: false, touched: true }];
  const vouching = new Vouching(z.shared, images, () => undefined);
  vouching.begin([info]);
  const running = {
    config: { exports: [{ name: 'a', size: PAGES * 4096 }], stop: { deadline } } as unknown as Config,
    log,
    shared: z.shared,
    images,
    vouching,
    threads: {
      lanes: [{ send: ({ type }: ToLane) => said.push(`lane: ${type}`), next: lane.next, connections }],
      shrinker: { send: ({ type }: ToShrinker) => said.push(`shrinker: ${type}`), next: shrinker.next },
    },
    listeners: { uris: [], close: () => said.push('listeners closed') },
    control: { close: async () => void said.push('control closed') },
    agents: { close: async () => undefined },
    swap: swapOf(said, drains),
    manager: managerOf(said),
  } as unknown as Running;
  const code = stop(running, { next: () => new Promise((resolve) => signals.push(resolve)) }, abortAfterMs);
  return {
    z,
    running,
    said,
    fields,
    code,
    signal: async (name = 'SIGTERM'): Promise<void> => {
      signals.shift()?.(name);
      await turn();
    },
    /** From here on a further signal aborts. */
    armed: async (): Promise<void> => {
      while (!said.includes(ARMED)) await new Promise((resolve) => setTimeout(resolve, 1));
    },
    /** The lane lets no more clients in, and has none any more. */
    lanesStop: async (): Promise<void> => {
      lane.deliver({ type: 'stopping' });
      lane.deliver({ type: 'stopped' });
      await turn();
    },
    /** The shrinker has drained, and closes when it is told to. */
    drained: async (failed = 0, errno = 0): Promise<void> => {
      drains.shift()?.({ failed, errno });
      while (!said.includes('shrinker: close')) await turn();
      shrinker.deliver({ type: 'closed' });
      await turn();
    },
    isMarked: () => existsSync(`${path}.zswapd`),
    note: places.notes[0],
    /** Puts a folder where the marker was. */
    replaceMarker: () => {
      rmSync(`${path}.zswapd`);
      mkdirSync(`${path}.zswapd`);
    },
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('connections and verbs end before the drain, the drain before the marker', async (t) => {
  const s = server(t);
  await s.signal();
  t.strictSame(s.said.slice(1), ['manager: stopping', 'listeners closed', 'verbs refused', 'lane: stop']);
  await s.lanesStop();
  t.strictSame(s.said.slice(5), ['verb ended', 'drain 0']);
  t.ok(s.isMarked());
  await s.drained();
  t.equal(await s.code, 0);
  t.strictSame(s.said.slice(7), [
    'drained a: its image holds everything',
    'shrinker: close',
    'control closed',
    'stopped: the images hold everything',
  ]);
  t.notOk(s.isMarked());
});

t.test('a socket that does not close is no harm to the images', async (t) => {
  const s = server(t);
  const close = (): never => {
    throw new Error('no close');
  };
  Object.assign(s.running, { listeners: { close }, agents: { close }, control: { close } });
  await s.signal();
  await s.lanesStop();
  await s.drained();
  t.equal(await s.code, 0);
  for (const one of ['listen', 'agents', 'control']) t.ok(s.said.includes(`${one}: the close failed, no close`), one);
  t.notOk(s.isMarked());
});

t.test('a note that stays is no harm to an image that holds everything', async (t) => {
  const s = server(t);
  mkdirSync(s.note);
  await s.signal();
  await s.lanesStop();
  await s.drained();
  t.equal(await s.code, 0);
  t.notOk(s.isMarked());
  t.match(
    s.said.join('\n'),
    /^a: the note of its path can't be removed: .*\.note.*, allowed: remove .*\.note by hand/m,
  );
  t.ok(s.said.includes('drained a: its image holds everything'));
});

t.test('once the loss is stated, a drain that ends after all takes no marker away', async (t) => {
  const s = server(t, { abortAfterMs: 0 });
  put(s.z, 1, makePage('text', 1));
  put(s.z, 2, makePage('text', 2));
  takeBuffer(s.z.shared.writebackBuffers, 0, s.z.thread);
  for (const slot of [5, 6]) setBit(s.z.shared.lost, 0, slot);
  await s.signal();
  await s.lanesStop();
  await s.armed();
  await s.signal();
  t.equal(await s.code, 4);
  t.equal(s.said.at(-1), 'aborted by a second signal: the markers of a stay, up to 5 pages are lost');
  await s.drained();
  t.equal(s.said.at(-1), 'control closed', 'the drain has come to its end');
  t.ok(s.isMarked(), 'and the marker stays');
});

t.test('a signal that comes with the one that began the stop is part of it', async (t) => {
  // The kernel and the shell both send SIGHUP when a terminal goes; timeout(1) sends to its child and to the group.
  const s = server(t);
  await s.signal('SIGINT');
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    await s.signal(name);
    t.equal(s.said.at(-1), `${name} as well: part of the same stop`);
  }
  await s.lanesStop();
  await s.drained();
  t.equal(await s.code, 0);
  t.notOk(s.isMarked());
});

t.test('SIGHUP aborts nothing, however late', async (t) => {
  const s = server(t, { abortAfterMs: 0 });
  await s.signal('SIGHUP');
  await s.armed();
  await s.signal('SIGHUP');
  await s.lanesStop();
  await s.drained();
  t.equal(await s.code, 0);
  t.notOk(s.isMarked());
});

t.test('stop.deadline: connections are said to be cut where there are any', async (t) => {
  for (const connections of [0, 1]) {
    const s = server(t, { connections, deadline: 0 });
    await s.signal();
    while (!s.said.includes('lane: cut')) await new Promise((resolve) => setTimeout(resolve, 1));
    const lines = s.said.filter((line) => line.startsWith('stop.deadline: '));
    t.equal(lines.length, connections, lines.join());
    await s.lanesStop();
    await s.drained();
    t.equal(await s.code, 0);
  }
});

t.test('a drain that failed keeps the marker', async (t) => {
  const s = server(t);
  await s.signal();
  await s.lanesStop();
  await s.drained(7, 5);
  t.equal(await s.code, 4);
  t.ok(s.said.includes('drain of a failed: its marker stays, 7 pages are lost'), s.said.join());
  t.ok(s.isMarked());
});

t.test('what was lost before the stop counts as well', async (t) => {
  for (const [lost, failed, errno, said] of [
    [[7, 8, 9], 10, 5, 'drain of a failed: its marker stays, 13 pages are lost'],
    [[], 1, 5, 'drain of a failed: its marker stays, 1 page is lost'],
    [[7], 0, 0, '1 page of a was lost: its marker stays'],
    [[7, 8], 0, 0, '2 pages of a were lost: its marker stays'],
    [[7, 8], 0, 28, 'drain of a failed: its marker stays: its last sync failed, and 2 pages were lost'],
  ] as const) {
    const s = server(t);
    for (const slot of lost) setBit(s.z.shared.lost, 0, slot);
    s.z.shared.imageFlags[0][FLAG_SYNC_FAILED] = Number(errno === 28);
    await s.signal();
    await s.lanesStop();
    await s.drained(failed, errno);
    t.equal(await s.code, 4);
    t.ok(s.said.includes(said), s.said.join());
    const { pages, error } = s.fields(said);
    t.equal(pages, lost.length + failed);
    t.equal(error, errno === 0 ? undefined : errno === 5 ? 'EIO' : 'ENOSPC', 'an error has its name');
    t.ok(s.isMarked());
  }
});

t.test('a drain whose last sync failed keeps the marker, although every page was written', async (t) => {
  const s = server(t);
  await s.signal();
  await s.lanesStop();
  await s.drained(0, 5);
  t.equal(await s.code, 4);
  t.ok(s.said.includes('drain of a failed: its marker stays: its last sync failed'), s.said.join());
  t.ok(s.isMarked());
});

t.test('a marker that can not be removed is not taken for pages that are lost', async (t) => {
  const s = server(t);
  s.replaceMarker();
  await s.signal();
  await s.lanesStop();
  await s.drained();
  t.equal(await s.code, 4);
  const line = s.said.find((one) => one.startsWith('drained a')) ?? '';
  t.match(line, /its image holds everything, but the marker could not be removed: EISDIR.*allowed: remove .* by hand/);
});

t.test('the manager waits as long as the images take something, and no longer', async (t) => {
  const s = server(t);
  const running = { ...s.running, config: { ...s.running.config, stop: { deadline: 0 } } };
  const look = watch(running);
  const asked = (): number => s.said.filter((line) => line === 'manager: moved').length;
  look();
  t.equal(asked(), 1, 'the first look has nothing to compare with');
  look();
  t.equal(asked(), 1, 'nothing has moved');
  rowOf(s.z.shared.counters, 1)[IMAGE.image_writes]++;
  look();
  t.equal(asked(), 2);
  rowOf(s.z.shared.counters, 1)[IMAGE.image_punches]++;
  look();
  look();
  t.equal(asked(), 3);
});
