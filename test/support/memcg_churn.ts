// The main thread's part in the stress test: memcgs come and go, and their limits move, while lanes store.
import { THREAD_MAIN } from '#src/pool/limits.js';
import { currentOf } from '#src/pool/memcg.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import type { Shared } from '#src/pool/shared.js';
import { EXPORTS, randoms } from './stress.ts';

/** Export 0 is somewhere in `a`, export 1 in `b`. Each moves from one new memcg to the next, and the old one goes offline. */
export class MemcgChurn {
  private readonly shared: Shared;
  private readonly tree: MemcgTree;
  private readonly random;
  private readonly at = ['a/0', 'b/0'];
  private made = 0;
  offline = 0;
  /** Bytes that `b` was charged, at most. */
  most = 0;

  constructor(shared: Shared, seed: number) {
    this.shared = shared;
    this.tree = new MemcgTree(shared, THREAD_MAIN);
    this.random = randoms(seed);
  }

  turn(): void {
    const { shared, tree, random, at } = this;
    this.most = Math.max(this.most, currentOf(shared.memcgs, tree.lookup('b')));
    const x = random(EXPORTS);
    if (random(4) !== 0) {
      tree.setMax(at[x], random(3) === 0 ? random(200_000) : Number.POSITIVE_INFINITY);
      return;
    }
    const next = `${x === 0 ? 'a' : 'b'}/${++this.made}`;
    tree.create(next);
    tree.attach(x, next);
    tree.offline(at[x]);
    at[x] = next;
    this.offline++;
  }
}
