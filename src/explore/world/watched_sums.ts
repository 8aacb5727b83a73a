/**
 * Who says that a page is not what was acknowledged. A page that is called wrong is lost for good, so it must be wrong: not one
 * of the versions that the slot may have. And it is said by who has the slot's pin, because for anybody else the page may be an
 * old one, and the sum that of a newer.
 */
import type { Shared } from '../../pool/shared.ts';
import * as sync from '../../shm/sync.ts';
import { STALE } from '../../zswap/loads.ts';
import type { Zswap } from '../../zswap/zswap.ts';
import { isRight } from './acknowledged.ts';
import { hasSlot } from './column_guard.ts';
import { describePage, numberOf, versionOf, type World } from './world.ts';

/** What is wrong with calling a page of the slot wrong, or null. */
function falseMismatch({ shadow }: World, x: number, slot: number, page: Uint8Array): string | null {
  const number = numberOf(x, slot);
  if (!isRight(shadow, number, versionOf(page, number))) return null;
  return `slot ${slot} is said to be wrong, and has ${describePage(page)}, which is right`;
}

/** Watches a thread's zswap. */
export function watchSums(zswap: Zswap, world: World): void {
  const { slotTable, claims }: Shared = world.shared;
  const holds = hasSlot(slotTable, claims, zswap.thread);
  const fetch = zswap.fetch.bind(zswap);
  const agrees = zswap.agrees.bind(zswap);
  const isStored = zswap.isStored.bind(zswap);
  const mismatched = zswap.mismatched.bind(zswap);
  const isCompared = (x: number, slot: number): void => {
    if (!holds(x, slot)) sync.violation('false mismatch', `slot ${slot} is compared with its sum without its pin`);
  };
  const isCalledWrong = (x: number, slot: number, page: Uint8Array): void => {
    const text = falseMismatch(world, x, slot, page);
    if (text !== null) sync.violation('false mismatch', text);
  };
  zswap.fetch = (r, x, slot, dst, at) => {
    const found = fetch(r, x, slot, dst, at);
    if (found === STALE) isCalledWrong(x, slot, dst.subarray(at));
    return found;
  };
  zswap.agrees = (x, slot, dst, at) => {
    isCompared(x, slot);
    const right = agrees(x, slot, dst, at);
    if (!right) isCalledWrong(x, slot, dst.subarray(at));
    return right;
  };
  zswap.isStored = (x, slot, page, known) => {
    isCompared(x, slot);
    const right = isStored(x, slot, page, known);
    if (!right) isCalledWrong(x, slot, page);
    return right;
  };
  zswap.mismatched = (x, slot, tier) => {
    isCompared(x, slot);
    mismatched(x, slot, tier);
    world.shadow.foundLost[x] = 1;
  };
}
