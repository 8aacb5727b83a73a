/** Stores that come after the end of their connection. */
import { STORED, type Zswap } from '../../zswap/zswap.ts';
import type { Baton } from '../baton.ts';
import type { World } from './world.ts';

/** How a connection has ended: when its lane had nothing to do with it, or at any moment. */
export const GIVEN_UP = 1;
export const CUT = 2;

/**
 * The zswap of a client's lane. What was not published when its connection ended is dropped. A page that is stored later could
 * still be harmless, if whatever is newer waits for its pin; the rule holds all the same, so a store after the end is a finding
 * itself. Asked plainly, which is no step: a connection ends only while its lane waits, so the answer stays as it is.
 */
export function watchStores(zswap: Zswap, { connections }: World, baton: Baton, connection: number): Zswap {
  const store = (...stored: Parameters<Zswap['store']>): number => {
    const result = zswap.store(...stored);
    if (result === STORED && connections[connection * 2] === GIVEN_UP)
      baton.violate('late store', `slot ${stored[1]} is stored after its connection was given up`);
    return result;
  };
  return Object.assign(Object.create(zswap) as Zswap, { store });
}
