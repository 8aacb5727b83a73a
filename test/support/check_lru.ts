/** One list looked at for itself, when nothing is under way. */
import { type Entries, NONE } from '#src/pool/entries.js';
import type { Lists } from '#src/pool/list_links.js';
import * as sync from '#src/shm/sync.js';

/** Checks links, count and charge of one list: the sum of lengths must be what is charged. Throws with what is wrong. */
export function checkLru(lru: Lists, t: Entries, m: number): void {
  sync.lock(lru.lock, m);
  let seen = 0;
  let bytes = 0;
  let before: number = NONE;
  for (let e = lru.head[m]; e !== NONE; e = t.next[e]) {
    if (t.prev[e] !== before) throw new Error(`LRU ${m}: entry ${e} has prev ${t.prev[e]}, not ${before}`);
    if (++seen > lru.count[m]) break;
    bytes += t.length[e];
    before = e;
  }
  const { [m]: count } = lru.count;
  const { [m]: charged } = lru.charged;
  sync.unlock(lru.lock, m);
  if (seen !== count) throw new Error(`LRU ${m}: ${seen} entries linked, ${count} counted`);
  if (bytes !== charged) throw new Error(`LRU ${m}: ${bytes} bytes linked, ${charged} charged`);
}
