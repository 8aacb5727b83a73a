// One thread of the stress test: a lane that stores, loads and trims, or the shrinker with the image.
import { parentPort, workerData } from 'node:worker_threads';
import { releaseMemory } from '#src/os/memory.js';
import { RECLAIM } from '#src/pool/allocator/index.js';
import { setBit, testBit } from '#src/pool/bits.js';
import { claim, noClaim, release } from '#src/pool/claims.js';
import { enterPool } from '#src/pool/enter_pool.js';
import { PAGE_SIZE } from '#src/pool/limits.js';
import { TABLE } from '#src/pool/memcg.js';
import { EEXIST } from '#src/pool/slots.js';
import { chooseProtocols } from '#src/protocols/index.js';
import { shrinkPage } from '#src/protocols/lru/pages.js';
import { SHRINK } from '#src/protocols/protocol.js';
import * as sync from '#src/shm/sync.js';
import { LOADED, ON_IMAGE } from '#src/zswap/loads.js';
import { mayEvictOf } from '#src/zswap/may_evict.js';
import { OVER_LIMIT, REJECTED, STORED, store } from '#src/zswap/store.js';
import { Zswap } from '#src/zswap/zswap.js';
import { endWrite } from './pool.ts';
import { type Done, EXPORTS, pageAt, randoms, type StressData, WANTED } from './stress.ts';

const data = workerData as StressData;
const { shared, thread, slots, stop, versions, image, seen } = data;
/** Pages that the shrinker has written back and the image has not yet. */
const pending: { x: number; slot: number; buffer: number }[] = [];
const zswap = new Zswap(shared, chooseProtocols(data.protocols), thread, (x, slot, buffer) =>
  pending.push({ x, slot, buffer }),
);
const random = randoms(data.seed + thread * 7919);
const done: Done = {};
const page = new Uint8Array(PAGE_SIZE);

function count(what: string, times = 1): void {
  if (times === 0) return;
  done[what] = (done[what] ?? 0) + times;
  const wanted = WANTED.indexOf(what);
  if (wanted >= 0 && seen[wanted] === 0) sync.store(seen, wanted, 1);
}

const NAMES = Object.keys(SHRINK);
const PAGE_NAMES = Object.keys(RECLAIM);
const mayEvict = mayEvictOf(shared);

/** Where a slot's page and version are. */
const placeOf = (x: number, slot: number): number => x * slots + slot;

function imagePage(at: number): Uint8Array {
  return image.subarray(at * PAGE_SIZE, (at + 1) * PAGE_SIZE);
}

/** A lane waits for another thread, unless that one has failed. */
function waitFor(words: Int32Array, index: number, seen: number): void {
  sync.sleep(words, index, seen, 1);
  if (sync.load(stop, 1) !== 0) throw new Error('waited for a thread that failed');
}

function write(r: number, x: number, slot: number): void {
  const at = placeOf(x, slot);
  const version = Math.abs(versions[at]) + 1;
  const content = pageAt(at, version);
  let result = store(zswap, x, slot, content, 0, false);
  if (result === OVER_LIMIT) {
    // As where the shrinker has nothing to give.
    count('overLimit');
    result = REJECTED;
  }
  if (result === STORED) zswap.slots.dropPage(r);
  else {
    // The image write of a rejected page queues behind the writeback of its slot. Older writes end without our pin.
    const { wb } = zswap.slots.t;
    for (let seen = sync.load(wb, r); seen > 0; seen = sync.load(wb, r)) waitFor(wb, r, seen);
    imagePage(at).set(content);
    setBit(shared.users, x, slot);
    zswap.dropOld(r, x, slot);
    count('rejected');
  }
  versions[at] = version;
  count('stores');
}

function load(r: number, x: number, slot: number): void {
  const at = placeOf(x, slot);
  const version = versions[at];
  const result = zswap.load(r, x, slot, page, 0);
  if (result !== LOADED && result !== ON_IMAGE) throw new Error(`slot ${x}:${slot} answered ${result}`);
  if (version <= 0) {
    if (result === LOADED) throw new Error(`slot ${x}:${slot} was trimmed at ${-version} and has a page`);
    if (testBit(shared.users, x, slot)) throw new Error(`slot ${x}:${slot} was trimmed and is in use`);
    count('trimmedLoads');
    return;
  }
  const got = result === LOADED ? page : imagePage(at);
  if (!Buffer.from(got.buffer, got.byteOffset, PAGE_SIZE).equals(pageAt(at, version))) {
    const where = result === LOADED ? 'pool' : 'image';
    throw new Error(`slot ${x}:${slot} in the ${where} is not version ${version}`);
  }
  count(result === LOADED ? 'loads' : 'imageLoads');
}

/** A slice of up to 8 slots: claim, wait for the pins inside, free, release. */
function trim(x: number, first: number, end: number): void {
  const mine = noClaim();
  if (!claim(shared.claims, x, first, end, thread, mine)) {
    release(shared.claims, mine, shared.boxes);
    count('claimRefused');
    return;
  }
  for (let slot = first; slot < end; slot++) {
    for (let box = sync.load(shared.boxes, thread); zswap.slots.isPinned(x, slot); ) {
      waitFor(shared.boxes, thread, box);
      box = sync.load(shared.boxes, thread);
    }
    zswap.invalidate(x, slot);
    const at = placeOf(x, slot);
    versions[at] = -Math.abs(versions[at]);
  }
  release(shared.claims, mine, shared.boxes);
  count('trims');
}

/** Goes on until told to stop; a thread that failed ends it at once. */
function lane(): void {
  while (sync.load(stop, 1) === 0 && sync.load(stop, 0) === 0) {
    const x = random(EXPORTS);
    const slot = random(slots);
    const what = random(100);
    if (what < 4) {
      trim(x, slot, Math.min(slots, slot + 1 + random(8)));
      continue;
    }
    const r = zswap.slots.pin(x, slot);
    if (r <= 0) {
      if (r !== EEXIST) throw new Error(`pin answered ${r}`);
      count('busy');
      continue;
    }
    if (what < 45) write(r, x, slot);
    else load(r, x, slot);
    zswap.slots.unpin(r);
  }
}

/** A zspage without objects is zeros afterwards: that is how the system took it. */
function giveBack(segment: Uint8Array, offset: number, bytes: number): void {
  if (releaseMemory(segment, offset, bytes) < 0) throw new Error('madvise failed');
  if (segment[offset] !== 0 || segment[offset + bytes - 1] !== 0) throw new Error('a zspage given back has content');
  count('givenBack');
}

/** Writes something back. True: there may be no buffer for more. */
function shrink(): boolean {
  const { entry, busy, lru } = zswap.protocols;
  if (lru === 'allocator') {
    const result = shrinkPage(zswap, mayEvict);
    count(result === RECLAIM.FREED ? 'WRITTEN' : PAGE_NAMES[result]);
    return result === RECLAIM.AGAIN;
  }
  const result = entry.shrinkOne(zswap, random(shared.memcgs.control[TABLE.END]), busy);
  count(NAMES[result]);
  return result === SHRINK.ENOMEM;
}

function shrinker(): void {
  const finish = (left: number): void => {
    while (pending.length > left) {
      const { x, slot, buffer } = pending.shift()!;
      imagePage(placeOf(x, slot)).set(zswap.page(buffer));
      endWrite(zswap, x, slot, buffer);
    }
  };
  while (sync.load(stop, 1) === 0) {
    const short = shrink();
    if (short || random(8) === 0) finish(random(pending.length + 1));
    if (random(16) === 0) count('compacted', zswap.objects.compact(4));
    if (random(64) === 0) zswap.objects.trim(0, 2, giveBack);
    // A lane may wait for the write of its slot, so none is kept back for longer than this.
    if (random(32) === 0) finish(0);
  }
  finish(0);
}

enterPool(shared, thread, (report) => {
  throw new Error(report);
});
if (data.role === 'lane') lane();
else shrinker();
parentPort!.postMessage(done);
