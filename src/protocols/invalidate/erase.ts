/**
 * Invalidate protocol `erase` (Linux 6.10 to 6.12, and before under other names): lock the tree, take the entry out,
 * unlock, free it. Always safe. What "free" means is the entry protocol's: it may have a count or a position to ask.
 * Lock order: tree.lock -> (free) lru.lock -> allocator.
 */
import type { InvalidateProtocol } from '../protocol.ts';

export const erase = {
  name: 'erase',
  declaration: { about: 'locks the tree and looks' },
  lockless: false,
  invalidate: (pool, x, slot) => pool.protocols.entry.invalidate(pool, x, slot),
} as const satisfies InvalidateProtocol;
