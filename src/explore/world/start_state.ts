/** The world as it is when a run starts: what is stored, what is taken away, and what the record of writes knows of it. */
import { setBit } from '../../pool/bits.ts';
import { NONE } from '../../pool/entries.ts';
import { PAGE_SIZE } from '../../pool/limits.ts';
import { allocNode } from '../../pool/nodes.ts';
import { STORED, store } from '../../zswap/store.ts';
import type { Zswap } from '../../zswap/zswap.ts';
import { firstSlot, type Scenario } from '../scenarios/scenario.ts';
import * as shadow from './acknowledged.ts';
import { BUFFERS, fillPage, pageAt, SLOTS, type World } from './world.ts';

export interface Stage {
  /** Writeback buffers that nobody will give back. */
  readonly borrowed: number;
  /** Record of the slot that stays pinned, or 0. */
  readonly pinned: number;
  /** The first slot that the scenario can use. */
  readonly first: number;
  /** At the end a slot may read EIO. */
  readonly mayLose: boolean;
  /** Pages that the memcg may have at the end. */
  readonly memcgPages: number;
}

/** No hook is set, so nothing here is a scheduling point. */
export function setStage(world: World, zswap: Zswap, scenario: Scenario): Stage {
  const { stored, onImage = [], buffersLeft = BUFFERS, pinned, noNodes = false, memcgPages = SLOTS } = scenario;
  const page = new Uint8Array(PAGE_SIZE);
  for (const { slot, version } of onImage) {
    fillPage(page, slot, version);
    pageAt(world.image.bytes, slot).set(page);
    acknowledge(world, zswap, slot, version);
  }
  for (const { slot, version } of stored) {
    fillPage(page, slot, version);
    const r = zswap.slots.pin(0, slot);
    if (store(zswap, 0, slot, page, 0, true) !== STORED) throw new Error(`slot ${slot} could not be stored`);
    zswap.slots.unpin(r);
    acknowledge(world, zswap, slot, version);
  }
  // No tree has them, and nobody gives them back.
  if (noNodes) while (allocNode(zswap.trees, 0) !== NONE);
  for (let left = BUFFERS; left > buffersLeft; left--) zswap.takePage(0);
  const record = pinned === undefined ? 0 : zswap.slots.pin(0, pinned);
  if (record > 0) zswap.slots.fill(record);
  world.shared.clients[0] = scenario.actors.filter(({ kind }) => kind === 'client').length;
  // Slots that were never written hold zeros, version 0.
  const { may } = world.shadow;
  for (let slot = 0; slot < may.length; slot++) if (may[slot] === 0) may[slot] = 1;
  return {
    borrowed: BUFFERS - buffersLeft,
    pinned: record,
    first: firstSlot(scenario),
    memcgPages,
    mayLose: scenario.mayLose === true,
  };
}

function acknowledge(world: World, zswap: Zswap, slot: number, version: number): void {
  setBit(zswap.shared.users, 0, slot);
  shadow.beginWrite(world.shadow, slot, version, 0);
  shadow.endWrite(world.shadow, slot, version, 0, true);
}
