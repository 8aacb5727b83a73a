/** What the limit of the pool, and its accept threshold, are held against. */
import * as sync from '../shm/sync.ts';
import { allocatorNamed, poolTotal } from './allocator/index.ts';
import { CTL, type Shared } from './shared.ts';

/** pool_total_size without the pages that onRejectNoWriteback: raw keeps, whose room is beside the pool (raw_room.ts). */
export function limitedTotal({ zs, control, settings }: Pick<Shared, 'zs' | 'control' | 'settings'>): number {
  // Pages kept raw are of one allocator: config/pool_checks.ts.
  if (!settings.rawOnReject || zs.kind === 'switched') return poolTotal(zs);
  const { pageBytes, rawPerPage } = allocatorNamed(zs.kind);
  if (rawPerPage === 0) return poolTotal(zs);
  return poolTotal(zs) - (sync.load(control, CTL.KEPT_RAW) * pageBytes) / rawPerPage;
}
