/** What the limit of the pool, and its accept threshold, are held against. */
import * as sync from '../shm/sync.ts';
import { allocatorOf } from './allocator/index.ts';
import { CTL, type Shared } from './shared.ts';

/** pool_total_size without the pages that onRejectNoWriteback: raw keeps, whose room is beside the pool (raw_room.ts). */
export function limitedTotal({ zs, control, settings }: Pick<Shared, 'zs' | 'control' | 'settings'>): number {
  const { total, pageBytes, rawPerPage } = allocatorOf(zs);
  if (!settings.rawOnReject || rawPerPage === 0) return total(zs);
  return total(zs) - (sync.load(control, CTL.KEPT_RAW) * pageBytes) / rawPerPage;
}
