// The threads of tests of the pool: one role per worker, chosen by name. A role gets its thread number and its data.
import { parentPort, workerData } from 'node:worker_threads';
import { type Objects, openObjects } from '#src/pool/allocator/index.js';
import { CLASSES } from '#src/pool/allocator/size_classes.js';
import { Zspool } from '#src/pool/allocator/zsmalloc.js';
import { Slots } from '#src/pool/slots.js';
import { push, RECORD_WORDS, wake } from '#src/shm/mailbox.js';
import * as sync from '#src/shm/sync.js';
import type { Job, Roles } from './pool_threads.ts';

const roles: { readonly [K in keyof Roles]: (data: Roles[K], thread: number) => number } = {
  /** Adds to a plain word under a lock. */
  lock({ words, rounds }) {
    for (let i = 0; i < rounds; i++) {
      sync.lock(words, 0);
      addSlowly(words, 1);
      sync.unlock(words, 0);
    }
    return rounds;
  },

  /** Takes a lock and keeps it until words[1] changes. */
  hold({ words }) {
    sync.lock(words, 0);
    sync.store(words, 2, 1);
    sync.notify(words, 2);
    while (sync.load(words, 1) === 0) sync.sleep(words, 1, 0, 50);
    sync.unlock(words, 0);
    return 0;
  },

  /** Changes a word once somebody waits for it. */
  change({ words }) {
    sync.store(words, 0, 7);
    return 0;
  },

  /** Adds to a plain word per slot under the slot's pin; answers how often the pin was had. */
  pins({ table, users, claims, boxes, plain, rounds }, thread) {
    const slots = new Slots(table, users, claims, boxes, thread);
    let had = 0;
    for (let i = 0; had < rounds; i++) {
      const slot = (i * 7 + thread) % plain.length;
      const r = slots.pin(0, slot);
      if (r <= 0) continue;
      addSlowly(plain, slot);
      had++;
      slots.unpin(r);
    }
    return had;
  },

  /** Looks at objects while another thread moves them; answers how many were wrong. */
  objects({ zs, handles, length, stop }) {
    const pool = new Zspool(zs);
    let wrong = 0;
    for (let i = 0; sync.load(stop, 0) === 0; i++) {
      const handle = handles[i % handles.length];
      pool.map(handle);
      const segment = pool.segment(handle);
      const at = pool.offset(handle);
      for (let k = 0; k < length; k += 64) if (segment[at + k] !== (handle & 0xff)) wrong++;
      if (segment[at + length - 1] !== (handle & 0xff)) wrong++;
      pool.unmap(handle);
    }
    return wrong;
  },

  /** Allocates, checks and frees objects of its own in few classes, beside others. */
  churn({ zs, first, count, rounds }) {
    const pool = openObjects(zs);
    const lengths = new Int32Array(count);
    for (let i = 0; i < rounds; i++) {
      const k = Math.imul(i, 0x9e3779b1) >>> 20;
      const at = k % count;
      if (lengths[at] === 0) {
        // Of zsmalloc the last classes but one; of the others a page's part that shares it in every way.
        const length = zs.kind === 'zsmalloc' ? CLASSES.size[CLASSES.count - 1 - (i % 3)] - 16 : 200 + (i % 5) * 700;
        if (!pool.alloc(first + at, length)) continue;
        pool.segment(first + at).fill(at & 0xff, pool.offset(first + at), pool.offset(first + at) + length);
        pool.unmap(first + at);
        lengths[at] = length;
      } else lengths[at] = drop(pool, first + at, at & 0xff, lengths[at]);
    }
    for (let at = 0; at < count; at++) if (lengths[at] > 0) drop(pool, first + at, at & 0xff, lengths[at]);
    return rounds;
  },

  /** Sends numbered records, waiting where the ring is full. */
  ring({ ring, boxes, to, count }, thread) {
    const record = new Int32Array(RECORD_WORDS);
    for (let i = 0; i < count; i++) {
      record.fill(i);
      record[0] = thread;
      for (let seen = sync.load(boxes, thread); !push(ring, record, thread); seen = sync.load(boxes, thread)) {
        wake(boxes, to);
        sync.sleep(boxes, thread, seen, 1000);
      }
      wake(boxes, to);
    }
    return count;
  },
};

/** Adds 1 without atomics, with so much between load and store that two threads in it at once lose an addition. */
function addSlowly(words: Int32Array, index: number): void {
  const seen = words[index];
  for (let i = 0; i < 100; i++) sync.load(words, index);
  words[index] = seen + 1;
}

function drop(pool: Objects, handle: number, value: number, length: number): number {
  pool.map(handle);
  const at = pool.offset(handle);
  const whole = pool.segment(handle).subarray(at, at + length);
  if (whole.some((byte) => byte !== value)) throw new Error(`object ${handle} was overwritten`);
  pool.unmap(handle);
  pool.free(handle, length);
  return 0;
}

const { role, data, thread, gate } = workerData as Job<keyof Roles>;
// Without a bound: who holds a lock may not be running, and that takes as long as the machine is busy.
sync.enterThread(
  thread,
  (report) => {
    throw new Error(report);
  },
  Number.POSITIVE_INFINITY,
);
if (gate !== null) {
  // Threads that start one after the other would be done before they meet.
  sync.add(gate, 0, 1);
  sync.notify(gate, 0);
  for (let seen = sync.load(gate, 0); seen < gate[1]; seen = sync.load(gate, 0)) sync.sleep(gate, 0, seen, 1000);
}
parentPort!.postMessage((roles[role] as (data: unknown, thread: number) => number)(data, thread));
