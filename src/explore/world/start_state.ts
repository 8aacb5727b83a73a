/** The world as it is when a run starts: what is stored, what is taken away, and what the record of writes knows of it. */

import { poolTotal } from '../../pool/allocator/index.ts';
import { setBit } from '../../pool/bits.ts';
import * as buffers from '../../pool/buffers.ts';
import { allocEntry, freeEntry, NONE } from '../../pool/entries.ts';
import { PAGE_SIZE } from '../../pool/limits.ts';
import { allocNode } from '../../pool/nodes.ts';
import { STORED, store, storeRaw } from '../../zswap/store.ts';
import type { Zswap } from '../../zswap/zswap.ts';
import { firstSlot, type Scenario } from '../scenarios/scenario.ts';
import * as shadow from './acknowledged.ts';
import { beginAgent } from './agent.ts';
import { BUFFERS, fillPage, numberOf, pageAt, SLOTS, type World } from './world.ts';

export interface Stage {
  /** Writeback buffers that nobody will give back, and buffers of requests. */
  readonly borrowed: number;
  readonly requestsBorrowed: number;
  /** Entries and slot records that are taken away for the run. */
  readonly entries: readonly number[];
  readonly records: readonly number[];
  /** Record of the slot that stays pinned, or 0. */
  readonly pinned: number;
  /** The first slot that the scenario can use. */
  readonly first: number;
  /** At the end a slot may read EIO. */
  readonly mayLose: boolean;
  /** At the end the page of slot 1 is this number's. */
  readonly owned: number | null;
  /** And it is dead. */
  readonly dies: boolean;
  /** Pages that the memcg may have at the end. */
  readonly memcgPages: number;
  /** Of the row that may be above all memcgs, or is the first of them. */
  readonly parentPages: number;
}

export const NO_STAGE: Stage = {
  borrowed: 0,
  requestsBorrowed: 0,
  entries: [],
  records: [],
  pinned: 0,
  first: 0,
  memcgPages: 0,
  parentPages: 0,
  mayLose: false,
  owned: null,
  dies: false,
};

/** No hook is set, so nothing here is a scheduling point. */
export function setStage(world: World, zswap: Zswap, scenario: Scenario): Stage {
  const { stored, buffersLeft = BUFFERS, pinned, noNodes = false, memcgPages = SLOTS } = scenario;
  if (scenario.agent === true) beginAgent(zswap, scenario.charged, scenario.cgroupMax);
  const page = new Uint8Array(PAGE_SIZE);
  stageImage(world, zswap, scenario);
  for (const { slot, version, x = 0 } of scenario.sparse === true ? [] : stored) {
    fillPage(page, numberOf(x, slot), version);
    const r = zswap.slots.pin(x, slot);
    if (store(zswap, x, slot, page, 0, true) !== STORED) throw new Error(`slot ${slot} could not be stored`);
    zswap.slots.unpin(r);
    acknowledge(world, zswap, slot, version, x);
  }
  // Before anything that happens in a run.
  zswap.entries.stamp.fill(0);
  if (scenario.sparse === true) storeSparse(world, zswap, scenario);
  // No tree has them, and nobody gives them back.
  if (noNodes) while (allocNode(zswap.trees, 0) !== NONE);
  for (let left = BUFFERS; left > buffersLeft; left--) zswap.takePage(0);
  const { requestBuffers } = zswap.shared;
  const requestsBorrowed = BUFFERS - (scenario.requestBuffersLeft ?? BUFFERS);
  for (let n = 0; n < requestsBorrowed; n++) buffers.takeBuffer(requestBuffers, 0, zswap.thread);
  const entries = takeAllBut(
    scenario.entriesLeft,
    () => allocEntry(zswap.entries),
    (e) => freeEntry(zswap.entries, e),
  );
  let beyond = firstSlot(scenario) + SLOTS;
  const records = takeAllBut(
    scenario.recordsLeft,
    () => Math.max(0, zswap.slots.tryPin(0, beyond++)),
    (r) => zswap.slots.unpin(r),
  );
  const record = pinned === undefined ? 0 : zswap.slots.pin(0, pinned);
  if (record > 0) zswap.slots.fill(record);
  world.shared.clients[0] = scenario.actors.filter(({ kind }) => kind === 'client').length;
  // Slots that were never written hold zeros, version 0.
  const { may } = world.shadow;
  for (let slot = 0; slot < may.length; slot++) if (may[slot] === 0) may[slot] = 1;
  return {
    borrowed: BUFFERS - buffersLeft,
    requestsBorrowed,
    entries,
    records,
    pinned: record,
    first: firstSlot(scenario),
    memcgPages,
    parentPages: scenario.parentMax === undefined ? memcgPages : (scenario.parentPages ?? 2 * SLOTS),
    mayLose: scenario.mayLose === true,
    owned: scenario.owned ?? null,
    dies: scenario.dies === true,
  };
}

function stageImage(world: World, zswap: Zswap, { onImage = [], stale = [] }: Scenario): void {
  const page = new Uint8Array(PAGE_SIZE);
  for (const { slot, version } of onImage) {
    fillPage(page, slot, version);
    pageAt(world.image.bytes, slot).set(page);
    noteSum(zswap, slot, page);
    acknowledge(world, zswap, slot, version);
  }
  for (const { slot, version } of stale) {
    fillPage(page, slot, version - 1);
    pageAt(world.image.bytes, slot).set(page);
    fillPage(page, slot, version);
    noteSum(zswap, slot, page);
    acknowledge(world, zswap, slot, version);
  }
}

/** Gives back, at the end of a run, what was taken away for it. */
export function endStage(zswap: Zswap, { pinned, entries, records }: Stage): void {
  if (pinned > 0) zswap.slots.unpin(pinned);
  for (const e of entries) freeEntry(zswap.entries, e);
  for (const r of records) zswap.slots.unpin(r);
}

/** Takes until there is nothing more, and gives `left` of it back; without `left` nothing is taken. */
function takeAllBut(left: number | undefined, take: () => number, give: (taken: number) => void): number[] {
  if (left === undefined) return [];
  const taken: number[] = [];
  for (let one = take(); one !== NONE; one = take()) taken.push(one);
  for (const one of taken.splice(0, left)) give(one);
  return taken;
}

/** Stores raw pages, each with so many objects beside it that the next one comes to another zspage; then those go. */
function storeSparse(world: World, zswap: Zswap, { stored }: Scenario): void {
  const page = new Uint8Array(PAGE_SIZE);
  const others: number[] = [];
  for (const { slot, version } of stored) {
    fillPage(page, slot, version);
    const r = zswap.slots.pin(0, slot);
    if (storeRaw(zswap, 0, slot, page, 0) !== STORED) throw new Error(`slot ${slot} could not be stored raw`);
    zswap.slots.unpin(r);
    acknowledge(world, zswap, slot, version);
    const zspages = poolTotal(zswap.shared.zs);
    for (let full = false; !full; ) {
      const e = allocEntry(zswap.entries);
      full = e === NONE || !zswap.objects.alloc(e, PAGE_SIZE);
      if (!full) {
        zswap.objects.unmap(e);
        others.push(e);
        full = poolTotal(zswap.shared.zs) > zspages;
      } else if (e !== NONE) freeEntry(zswap.entries, e);
    }
  }
  for (const e of others) {
    zswap.objects.free(e, PAGE_SIZE);
    freeEntry(zswap.entries, e);
  }
}

/** As of a page that a WRITE has taken to the image. */
function noteSum({ sums, codec }: Zswap, slot: number, page: Uint8Array): void {
  sums.note(0, slot, codec.sumOf(page));
}

function acknowledge(world: World, zswap: Zswap, slot: number, version: number, x = 0): void {
  setBit(zswap.shared.users, x, slot);
  shadow.beginWrite(world.shadow, numberOf(x, slot), version, 0);
  shadow.endWrite(world.shadow, numberOf(x, slot), version, 0, true);
}
