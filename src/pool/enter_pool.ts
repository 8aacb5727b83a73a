/** What a thread does before anything else with a pool: everything of it that is set for the thread as a whole. */
import { rowOf } from '../shm/counters.ts';
import * as sync from '../shm/sync.ts';
import { allocatorOf } from './allocator/index.ts';
import { setChecking } from './entries.ts';
import type { Shared } from './shared.ts';
import { HOLDER_MASK } from './slot_table.ts';

/** `stuck`: says that a wait of this thread does not end. */
export function enterPool(shared: Shared, thread: number, stuck: (report: string) => never): void {
  // Lock words hold a thread's number plus one, because 0 is free.
  sync.enterThread(thread + 1, stuck);
  sync.countWaits(rowOf(shared.counters, thread));
  setChecking(shared.settings.checkEntries === true);
  nameWaits(shared);
}

/** Names what threads wait for, so that the report of a wait that does not end says what it was. */
function nameWaits({ trees, lru, slotTable, entries, zs, deviceLock, live }: Shared): void {
  sync.nameWords(trees.words, 'tree lock');
  sync.nameWords(lru.lock, 'LRU lock');
  for (const { words, name } of allocatorOf(zs).locks(zs)) sync.nameWords(words, name);
  sync.nameWords(deviceLock, 'swap device lock');
  sync.nameWords(slotTable.buckets, 'slot table lock');
  sync.nameWords(slotTable.locked, 'slot pin', HOLDER_MASK);
  sync.nameWords(entries.state, 'entry state');
  sync.nameWords(live, 'live entries');
}
