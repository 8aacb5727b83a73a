/** Stores that come after the end of their connection. */
import type { PageSums } from '../../zswap/checksums.ts';
import type { Zswap } from '../../zswap/zswap.ts';
import type { Baton } from '../baton.ts';
import type { World } from './world.ts';

/** How a connection has ended: when its lane had nothing to do with it, or at any moment. */
export const GIVEN_UP = 1;
export const CUT = 2;

/**
 * The zswap of a client's lane. What was not published when its connection ended is dropped. A page that is stored later could
 * still be harmless, if whatever is newer waits for its pin; the rule holds all the same, so a store after the end is a finding
 * itself; the image write of a page that the pool has rejected is published before, and may end after. Asked plainly, which is
 * no step: a connection ends only while its lane waits, so the answer stays as it is.
 */
export function watchStores(zswap: Zswap, { connections }: World, baton: Baton, connection: number): Zswap {
  const { sums: own } = zswap;
  let written = false;
  const sums: PageSums = {
    note: (x, slot, sum) => {
      if (!written && connections[connection * 2] === GIVEN_UP)
        baton.violate('late store', `slot ${slot} is stored after its connection was given up`);
      written = false;
      own.note(x, slot, sum);
    },
    agrees: (...page) => own.agrees(...page),
    forget: (...slot) => own.forget(...slot),
  };
  // A rejected page that the image has got drops what there was, and is noted then.
  const dropOld = (...dropped: Parameters<Zswap['dropOld']>): void => {
    zswap.dropOld(...dropped);
    written = true;
  };
  return Object.assign(Object.create(zswap) as Zswap, { sums, dropOld });
}
