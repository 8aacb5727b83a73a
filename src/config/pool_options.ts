// The options under `pool`.

import { z } from 'zod';
import { SHARED_BYTES_MAX } from '../pool/allocator/buddies.ts';
import { ALLOCATOR_NAMES, allocatorNamed } from '../pool/allocator/index.ts';
import { ALLOCATOR_DEFAULT, ALLOCATORS } from '../protocols/presets.ts';
import { bool, choice, group, integer, size } from './fields.ts';
import { usableMemory } from './memory.ts';
import { formatSize, MIB, parsePercent, TIB } from './units.ts';

const othersAllowed = `names of allocators, each once, without pool.allocator`;
const POOL_BYTES_MAX = Math.max(...ALLOCATOR_NAMES.map((name) => allocatorNamed(name).bytesMax));
const POOL_MAX = '20%';

export const pool = group(
  {
    max: size(
      { min: MIB, max: POOL_BYTES_MAX, percentOf: usableMemory },
      "Limit of the compressed pool. A percentage is of the smallest of the RAM and the limits of the cgroups that the server is in, up to the root. One that comes to more than a pool can have is that. 20% is the kernel's max_pool_percent.",
    ).prefault(POOL_MAX),
    acceptThresholdPercent: integer(
      1,
      100,
      '% of pool.max',
      'A full pool takes stores again once it is below this share of its limit: the hysteresis of the kernel.',
    ).prefault(90),
    allocator: choice(
      ALLOCATOR_NAMES,
      `Allocator of compressed objects. ${ALLOCATOR_NAMES.map((name) => `${name} ${allocatorNamed(name).about}`).join('; ')}. What an allocator can not hold is counted as reject_compress_poor: with zbud that is a page which compresses to more than ${SHARED_BYTES_MAX} bytes, or 8 less with protocol.lru allocator. Default: ${ALLOCATOR_DEFAULT}; with protocol.preset ${Object.entries(
        ALLOCATORS,
      )
        .map(([preset, name]) => `${preset}: ${name}`)
        .join(', ')}.`,
    ).optional(),
    otherAllocators: z
      .array(choice(ALLOCATOR_NAMES, 'One of them.'), { error: () => `is not a list, allowed: ${othersAllowed}` })
      .max(ALLOCATOR_NAMES.length - 1, { error: () => `has too many names, allowed: ${othersAllowed}` })
      .meta({
        description:
          'Others that the pool can be switched to while the server runs (zswapd ctl set /parameters/zpool): new objects go to the one that was named last, and those of before stay where they are until they are freed. Each takes address space for the whole pool, and memory as it is used.',
        allowed: othersAllowed,
      })
      .prefault([]),
    sameFilled: bool(
      'Keep a page that repeats one 32-bit word (in the kernel: a long) as an entry without an object.',
    ).prefault(true),
    checksums: bool(
      'Keep a checksum of what each slot was last acknowledged to hold (XXH64, its low 32 bits, by zstd), and compare every page that is read with it, whether the pool or the image has it: a flipped bit, or an image write that was lost, torn, misdirected or of another time, is answered with EIO until the slot is written again, counted as checksum_mismatch, and is never data. Takes 4 bytes per slot that was written, and 4 per object. What was written before the start is not known.',
    ).prefault(true),
    scrub: size(
      { min: 0, max: 1024 * MIB },
      'Bytes per second at which the shrinker compares what is stored with pool.checksums while nobody reads it, in the pool and on the image, export after export, again and again; 0, or no checksums: never. A page that is wrong is counted, told and answered with EIO as if a READ had found it. Pages in use are passed by; a fault plan meets its reads as those of clients. A page has cost about 55 to 140 µs of processor time, most of it where the image has it, so 256KiB costs an idle server about 1 % of a processor, and no latency that could be told from chance; it is through a GiB in 68 minutes. Nobody waits for it but whoever wants a page that the image does not have as it was noted. Off unless asked for, as its reads keep a disk awake.',
    ).prefault(0),
    incompressible: choice(
      ['reject', 'store'],
      'A page that does not get smaller: reject writes it to the image (counted as reject_compress_poor), store keeps it raw in the pool.',
    ).prefault('reject'),
    rawMax: size(
      { min: 0, max: TIB },
      'Bound of the pages of all exports together that onRejectNoWriteback: raw keeps uncompressed in the pool, beside what limits allow; beyond it a write is answered ENOSPC.',
    ).prefault('64MiB'),
  },
  'The compressed pool in RAM.',
);

/** What to say of `pool.max` as it was written, where it is a percentage that comes to more than a pool can have; else null. */
export function poolMaxNote(written: unknown = POOL_MAX, memory = usableMemory()): string | null {
  const percent = parsePercent(written);
  if (percent === undefined || (memory * percent) / 100 <= POOL_BYTES_MAX) return null;
  const [share, max] = [`${written} of ${formatSize(memory)}`, formatSize(POOL_BYTES_MAX)];
  return `pool.max: ${share} is more than a pool can have, which is ${max}: that is taken`;
}
