/** What a thread asks of a plan: a gate that knows whose memcg a slot is. */
import { type FaultsInForce, Gate } from '../faults/gate.ts';
import { ownerOf } from '../pool/attribution.ts';
import { pathOf } from '../pool/memcg.ts';
import type { Shared } from '../pool/shared.ts';

export function openGate(faults: FaultsInForce, { memcgs }: Pick<Shared, 'memcgs'>): Gate {
  return new Gate(faults, (x, slot, path) => {
    const of = pathOf(memcgs, ownerOf(memcgs, x, slot));
    return path === '/' || of === path || of.startsWith(`${path}/`);
  });
}
