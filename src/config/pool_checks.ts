// What the pool of a config can not be: what its allocator does not do, and what no allocator has room for.
import { ALLOCATOR_NAMES, allocatorNamed } from '../pool/allocator/index.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { rawRoom } from '../pool/raw_room.ts';
import { usableMemory } from './memory.ts';
import type { Problem } from './option_path.ts';
import type { Config } from './schema.ts';
import { formatSize, MIB, roundedSize } from './units.ts';

/** What the allocator of the pool can not do. */
export function checkPool({ pool, protocol, shrinker, onRejectNoWriteback }: Config): Problem[] {
  const { name, bytesMax, lists, rawPerPage } = allocatorNamed(pool.allocator);
  const problems: Problem[] = checkOthers({ pool, protocol, onRejectNoWriteback });
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

/** What is asked of an allocator that the pool may be switched to is asked of it beforehand. */
function checkOthers({
  pool,
  protocol,
  onRejectNoWriteback,
}: Pick<Config, 'pool' | 'protocol' | 'onRejectNoWriteback'>): Problem[] {
  const others = pool.otherAllocators.map((other) => allocatorNamed(other));
  const path = ['pool', 'otherAllocators'];
  const problems: Problem[] = [];
  for (const [at, { name, lists, bytesMax }] of others.entries()) {
    const one = [...path, at];
    if ([pool.allocator, ...pool.otherAllocators.slice(0, at)].includes(pool.otherAllocators[at])) {
      problems.push({ path: one, message: `"${name}" is there already, allowed: each allocator once` });
    } else if (protocol.lru === 'allocator' && !lists) {
      problems.push({
        path: one,
        message: `"${name}" has no list of pages for protocol.lru "allocator", allowed: others`,
      });
    } else if (pool.max > bytesMax) {
      const message = `pool.max is more than ${name} can have, allowed: a pool.max of at most ${formatSize(bytesMax)}`;
      problems.push({ path: one, message });
    }
  }
  if (others.length > 0 && onRejectNoWriteback === 'raw') {
    const message =
      'pages kept raw have room of their own in one allocator, allowed: [], or onRejectNoWriteback "fail"';
    problems.push({ path, message });
  }
  return problems;
}

/** What the process takes before anything is stored, about: an idle server's resident memory. */
const PROCESS_BYTES = 130 * MIB;

/** What to say at start where the pool may grow until the kernel ends the process for it; null if it fits into `memory` bytes. */
export function memoryWarning(config: Config, memory = usableMemory()): string | null {
  const { pool, exports, image } = config;
  const device = exports.reduce((sum, { size }) => sum + size, 0);
  const pages = rawPages(config) * PAGE_SIZE;
  // A device of less than pool.max never fills it.
  const parts = [Math.min(pool.max, device), pages, 2 * image.buffers * PAGE_SIZE, PROCESS_BYTES];
  if (parts.reduce((sum, bytes) => sum + bytes) <= memory) return null;
  const [stored, raw, buffers, own] = parts.map(roundedSize);
  const kept = pages === 0 ? '' : ` ${raw} of raw pages,`;
  return (
    `pool.max: ${stored},${kept} ${buffers} of buffers and about ${own} of the process are more than the ${roundedSize(memory)} ` +
    'that this process may use: the kernel may end it, and with it what is not in the image; a smaller pool.max fits'
  );
}

function rawPages({ pool, exports, onRejectNoWriteback }: Config): number {
  const slots = exports.reduce((sum, { size }) => sum + size / PAGE_SIZE, 0);
  return onRejectNoWriteback === 'raw' ? Math.min(slots, Math.floor(pool.rawMax / PAGE_SIZE)) : 0;
}

/** Raw pages have room beside the pool, and both are one in the allocator. */
export function checkRaw(config: Config): Problem[] {
  const { pool } = config;
  const { bytesMax } = allocatorNamed(pool.allocator);
  const room = rawRoom(pool.allocator, rawPages(config));
  if (room === 0 || pool.max + room <= bytesMax) return [];
  const message = `takes ${roundedSize(room)} beside pool.max, allowed: ${formatSize(bytesMax)} of both together`;
  return [{ path: ['pool', 'rawMax'], message }];
}
