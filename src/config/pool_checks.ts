// What the pool of a config can not be: what its allocator does not do, and what no allocator has room for.
import { ALLOCATOR_NAMES, allocatorNamed } from '../pool/allocator/index.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { rawRoom } from '../pool/raw_room.ts';
import type { Problem } from './option_path.ts';
import type { Config } from './schema.ts';
import { formatSize, MIB } from './units.ts';

/** What the allocator of the pool can not do. */
export function checkPool({ pool, protocol, shrinker, onRejectNoWriteback }: Config): Problem[] {
  const { name, bytesMax, lists, rawPerPage } = allocatorNamed(pool.allocator);
  const problems: Problem[] = [];
  const byPages = protocol.lru === 'allocator';
  // A page is as large as what z3fold has for one, and its label comes on top.
  const holdsRaw = rawPerPage > 0 && !byPages;
  if (byPages && !lists) {
    const others = ALLOCATOR_NAMES.filter((other) => allocatorNamed(other).lists).join('" or "');
    const message = `"${name}" has no list of pages for protocol.lru "allocator", allowed: "${others}"`;
    problems.push({ path: ['pool', 'allocator'], message });
  }
  if (byPages && shrinker.enabled) {
    const message = `writes back the coldest of each memcg, and protocol.lru "allocator" does not know them, allowed: false`;
    problems.push({ path: ['shrinker', 'enabled'], message });
  }
  if (pool.max > bytesMax) {
    const message = `${formatSize(pool.max)} is more than ${name} can have, allowed: at most ${formatSize(bytesMax)}, or another pool.allocator`;
    problems.push({ path: ['pool', 'max'], message });
  }
  if (!byPages && shrinker.reclaimer === 'store') {
    const message = `"store" has a page of the allocator reclaimed, and protocol.lru is "entries", allowed: "worker", or protocol.lru "allocator"`;
    problems.push({ path: ['shrinker', 'reclaimer'], message });
  }
  if (holdsRaw) return problems;
  const others = byPages
    ? 'protocol.lru "entries" with another pool.allocator than zbud'
    : `pool.allocator ${ALLOCATOR_NAMES.filter((other) => allocatorNamed(other).rawPerPage > 0).join(' or ')}`;
  if (pool.incompressible === 'store') {
    const message = `"store" keeps pages that do not get smaller, and ${name} has no room for one, allowed: "reject", or ${others}`;
    problems.push({ path: ['pool', 'incompressible'], message });
  }
  if (onRejectNoWriteback === 'raw') {
    const message = `"raw" keeps pages uncompressed, and ${name} has no room for one, allowed: "fail", or ${others}`;
    problems.push({ path: ['onRejectNoWriteback'], message });
  }
  return problems;
}

/** Raw pages have room beside the pool, and both are one in the allocator. */
export function checkRaw({ pool, exports, onRejectNoWriteback }: Config): Problem[] {
  const slots = exports.reduce((sum, { size }) => sum + size / PAGE_SIZE, 0);
  const pages = onRejectNoWriteback === 'raw' ? Math.min(slots, Math.floor(pool.rawMax / PAGE_SIZE)) : 0;
  const { bytesMax } = allocatorNamed(pool.allocator);
  const room = rawRoom(pool.allocator, pages);
  if (room === 0 || pool.max + room <= bytesMax) return [];
  const takes = formatSize(Math.ceil(room / MIB) * MIB);
  const message = `takes ${takes} beside pool.max, allowed: ${formatSize(bytesMax)} of both together`;
  return [{ path: ['pool', 'rawMax'], message }];
}
