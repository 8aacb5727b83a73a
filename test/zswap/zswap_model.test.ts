// zswap with a small pool against a Map: any order of stores, loads, trims and writebacks of two exports.
import fc from 'fast-check';
import t from 'tap';
import { ALLOCATOR_NAMES, type AllocatorName } from '#src/pool/allocator/index.js';
import { sum } from '#src/shm/counters.js';
import { C } from '#src/zswap/counters.js';
import { LOADED, ON_IMAGE } from '#src/zswap/loads.js';
import { OVER_LIMIT, REJECTED, STORED } from '#src/zswap/store.js';
import {
  checkLists,
  endWrite,
  held,
  KINDS,
  type Kind,
  makePage,
  newZswap,
  pinned,
  put,
  type TestZswap,
  take,
} from '../support/pool.ts';

const SLOTS = 40;
const EXPORTS = [0, 1].map((x) => ({ name: `${x}`, pages: SLOTS, memcg: x }));
const command = fc.record({
  do: fc.constantFrom('store', 'store', 'store', 'store', 'store', 'load', 'trim', 'shrink', 'finish', 'compact'),
  x: fc.nat(1),
  slot: fc.nat(SLOTS - 1),
  kind: fc.constantFrom(...KINDS),
});

interface Page {
  kind: Kind;
  number: number;
  pooled: boolean;
}

/** The pool, an image that finishes its writes when told to, and what each slot must read as. */
class Run {
  readonly z: TestZswap;
  readonly image = new Map<string, Uint8Array>();
  readonly truth = new Map<string, Page>();
  private pending: { x: number; slot: number; buffer: number }[] = [];

  constructor(allocator: AllocatorName) {
    // Three zspages, or 12 pages, so that what is stored uses them up.
    const poolBytes = allocator === 'zsmalloc' ? 3 * 65_536 : 12 * 4096;
    this.z = newZswap({
      allocator,
      poolBytes,
      acceptBytes: (2 * poolBytes) / 3,
      heuristic: 'second-chance',
      buffers: 4,
      exports: EXPORTS,
      memcgs: [
        { name: 'a', max: Number.POSITIVE_INFINITY, writeback: true },
        { name: 'b', max: 20_000, writeback: true },
      ],
    });
    this.z.onWrite = (x, slot, buffer) => {
      this.pending.push({ x, slot, buffer });
      this.truth.get(`${x}:${slot}`)!.pooled = false;
    };
  }

  store(x: number, slot: number, kind: Kind, number: number): void {
    const page = makePage(kind, number);
    let result = put(this.z, slot, page, x);
    if (result === OVER_LIMIT) {
      this.shrink(x);
      result = put(this.z, slot, page, x, true);
    }
    const key = `${x}:${slot}`;
    if (result === REJECTED) {
      this.finish();
      this.image.set(key, page);
      pinned(this.z, x, slot, (r) => this.z.dropOld(r, x, slot));
    }
    this.truth.set(key, { kind, number, pooled: result === STORED });
  }

  load(x: number, slot: number): void {
    const key = `${x}:${slot}`;
    const { result, page } = take(this.z, slot, x);
    const truth = this.truth.get(key);
    if (result !== LOADED && result !== ON_IMAGE) throw new Error(`${key} answered ${result}`);
    if (truth === undefined) {
      if (result !== ON_IMAGE) throw new Error(`${key} was trimmed and is stored`);
      return;
    }
    const bytes = result === LOADED ? page : (this.image.get(key) ?? page);
    if (!Buffer.from(bytes).equals(makePage(truth.kind, truth.number))) throw new Error(`${key} has other bytes`);
  }

  trim(x: number, slot: number): void {
    this.z.invalidate(x, slot);
    this.truth.delete(`${x}:${slot}`);
  }

  shrink(m: number): void {
    this.z.protocols.entry.shrinkOne(this.z, m + 1, this.z.protocols.busy);
  }

  /** Every image write that is under way ends, oldest first. */
  finish(): void {
    for (const { x, slot, buffer } of this.pending) {
      this.image.set(`${x}:${slot}`, this.z.page(buffer).slice());
      endWrite(this.z, x, slot, buffer);
    }
    this.pending = [];
  }

  /** Counters are the truth, and lists agree with what is charged. */
  check(): void {
    checkLists(this.z.shared);
    const pooled = [...this.truth.values()].filter((page) => page.pooled);
    const counted = held(this.z.shared);
    const same = pooled.filter((page) => page.kind === 'same').length;
    const expected = { stored: pooled.length, entries: pooled.length, sameFilled: same, linked: pooled.length - same };
    for (const [name, count] of Object.entries(expected)) {
      if (counted[name] !== count) throw new Error(`${name} is ${counted[name]}, not ${count}`);
    }
    const raw = pooled.filter((page) => page.kind === 'random').length;
    if (counted.raw !== raw) throw new Error(`raw is ${counted.raw}, not ${raw}`);
    if (counted.bytes !== counted.charged) throw new Error(`${counted.bytes} bytes, ${counted.charged} charged`);
  }
}

for (const allocator of ALLOCATOR_NAMES) {
  t.test(`every slot reads as last stored, counters are true, and nothing leaks, ${allocator}`, async (t) => {
    const seen = { rejected: 0, writtenBack: 0 };
    fc.assert(
      fc.property(fc.array(command, { minLength: 50, maxLength: 400, size: 'max' }), (commands) => {
        const run = new Run(allocator);
        commands.forEach((c, i) => {
          if (c.do === 'store') run.store(c.x, c.slot, c.kind, i + 1);
          else if (c.do === 'load') run.load(c.x, c.slot);
          else if (c.do === 'trim') run.trim(c.x, c.slot);
          else if (c.do === 'shrink') run.shrink(c.x);
          else if (c.do === 'finish') run.finish();
          else run.z.objects.compact(2);
          run.check();
        });
        const all = [0, 1].flatMap((x) => Array.from({ length: SLOTS }, (_, slot) => ({ x, slot })));
        for (const { x, slot } of all) run.load(x, slot);
        for (const { x, slot } of all) run.trim(x, slot);
        run.finish();
        const left = Object.entries(held(run.z.shared)).filter(([, count]) => count !== 0);
        if (left.length > 0) throw new Error(`left behind: ${left}`);
        seen.rejected += sum(run.z.shared.counters, C.reject_pool_limit);
        seen.writtenBack += sum(run.z.shared.counters, C.written_back_pages);
      }),
      { numRuns: allocator === 'zsmalloc' ? 60 : 30 },
    );
    t.ok(seen.rejected > 0, 'the pool was full at times');
    t.ok(seen.writtenBack > 0);
  });
}
