/** From the config, which people write, to the settings that the pool, the threads and the NBD server are built with. */
import {
  type ExportInfo,
  NBD_FLAG_CAN_MULTI_CONN,
  NBD_FLAG_HAS_FLAGS,
  NBD_FLAG_SEND_CACHE,
  NBD_FLAG_SEND_FLUSH,
  NBD_FLAG_SEND_FUA,
  NBD_FLAG_SEND_TRIM,
  NBD_FLAG_SEND_WRITE_ZEROES,
  NBD_MAX_PAYLOAD,
} from 'node-nbd-server/device';
import { NO_LIMIT } from '../config/fields.ts';
import type { Config } from '../config/schema.ts';
import { formatSize } from '../config/units.ts';
import { createImageTraffic, type ImageTraffic } from '../image/counted_image.ts';
import type { OpenableImage } from '../image/image.ts';
import { EXIT, ExitError } from '../os/exit_error.ts';
import { inheritedSockets, isSupervised } from '../os/inherited_sockets.ts';
import { TICK_MS } from '../pool/access_time.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { canonicalPath } from '../pool/memcg_path.ts';
import type { CursorKind } from '../pool/policies.ts';
import { createShared, type PoolSettings, type Shared } from '../pool/shared.ts';
import { type Combination, PROTOCOLS } from '../protocols/index.ts';
import { onReserve } from '../shm/columns.ts';
import type { ImageBudget } from './budget.ts';
import type { Care } from './care.ts';
import { careForMemory } from './process_care.ts';
import { createCells, liveSettings, type TunableCells } from './tunables.ts';
import { writesThrough } from './write_through.ts';

/** What threads are set to, besides the pool's settings: plain values, the same in every thread. */
export interface ThreadSettings {
  readonly protocols: Combination;
  readonly exports: readonly ExportInfo[];
  readonly images: readonly OpenableImage[];
  readonly delays: Readonly<Record<string, number>>;
  /** A safeguard that is taken out (broken.ts). */
  readonly break: Config['debug']['break'];
  /** What a thread makes for pages is left out of core dumps. */
  readonly dontDump: boolean;
  readonly lane: {
    readonly readsMax: number;
    readonly handshakeTimeoutMs: number;
    /** Its sockets outlive this server, so that clients find another one behind them. */
    readonly hangsUp: boolean;
  };
  readonly shrinker: {
    readonly batch: number;
    readonly cursor: CursorKind;
    /** In percent, see Pressure. */
    readonly pressure: number;
    readonly runPages: number;
    readonly writesMax: number;
    /** Bytes per second that the scrub verifies; 0: none is there. */
    readonly scrub: number;
    /** Bytes between two fdatasyncs of an image that is not opened with O_DIRECT. */
    readonly syncEvery: number;
  };
}

/** `images`: as they were found; a thread opens them again by what is kept of them here. */
export function threadSettings(config: Config, images: readonly OpenableImage[], budget: ImageBudget): ThreadSettings {
  return {
    protocols: config.protocol,
    exports: exportInfos(config),
    images: images.map(({ path, bytes, direct, blockDevice, identity }) => {
      return { path, bytes, direct, blockDevice, identity };
    }),
    delays: config.debug.delay,
    break: config.debug.break,
    dontDump: config.process.dontDump !== 'off',
    lane: {
      readsMax: budget.reads,
      handshakeTimeoutMs: config.listen.handshakeTimeout,
      hangsUp: inheritedSockets(process.env) > 0,
    },
    shrinker: {
      batch: config.shrinker.batch,
      cursor: config.shrinker.cursor,
      pressure: config.shrinker.pressure,
      runPages: Math.min(config.shrinker.runPages, config.image.buffers),
      writesMax: budget.writes,
      syncEvery: config.image.syncEvery,
      scrub: config.pool.checksums && config.debug.break !== 'checksum' ? config.pool.scrub : 0,
    },
  };
}

function poolSettings(config: Config): PoolSettings {
  const settings = new Map(Object.entries(config.memcgs).map(([path, one]) => [canonicalPath(path), one]));
  // Those that exports name come first; one that is only listed is there for what comes at run time.
  const used = config.exports.flatMap(({ memcg, ranges }) => [memcg, ...ranges.map((range) => range.memcg)]);
  const names = [...new Set([...used.map(canonicalPath), ...settings.keys()])];
  return {
    allocator: config.pool.allocator,
    otherAllocators: config.pool.otherAllocators,
    listsPages: config.protocol.lru === 'allocator',
    poolBytes: config.pool.max,
    acceptBytes: Math.floor((config.pool.max * config.pool.acceptThresholdPercent) / 100),
    level: config.compressor.level,
    sameFilled: config.pool.sameFilled,
    storeIncompressible: config.pool.incompressible === 'store',
    rawMaxBytes: config.pool.rawMax,
    rawOnReject: config.onRejectNoWriteback === 'raw',
    heuristic: config.shrinker.heuristic,
    reclaimer: config.shrinker.reclaimer,
    dead: config.shrinker.dead,
    shrinkerEnabled: config.shrinker.enabled,
    strict: config.durability === 'strict',
    checksums: (config.pool.checksums || config.debug.oracle) && config.debug.break !== 'checksum',
    buffers: config.image.buffers,
    lanes: config.lanes,
    absoluteIndexing: config.protocol.treeIndexing === 'absolute',
    locklessWalks: PROTOCOLS.invalidate[config.protocol.invalidate].lockless,
    checkEntries: config.debug.oracle,
    exports: config.exports.map((one) => ({
      name: one.name,
      pages: one.size / PAGE_SIZE,
      memcg: names.indexOf(canonicalPath(one.memcg)),
      ranges: [...one.ranges]
        .sort((a, b) => a.offset - b.offset)
        .map(({ offset, size, memcg }) => ({
          first: offset / PAGE_SIZE,
          end: (offset + size) / PAGE_SIZE,
          memcg: names.indexOf(canonicalPath(memcg)),
        })),
      ...(one.writeback.budget === NO_LIMIT
        ? {}
        : { budget: { pages: one.writeback.budget / PAGE_SIZE, ticks: Math.ceil(one.writeback.interval / TICK_MS) } }),
      agent: one.attribution === 'agent',
      writeThrough: writesThrough(one, config, isSupervised(process.env)),
    })),
    memcgs: names.map((name) => ({
      name,
      max: settings.get(name)?.['zswap.max'] ?? Number.MAX_SAFE_INTEGER,
      writeback: settings.get(name)?.['zswap.writeback'] ?? true,
    })),
  };
}

/** All that threads share, with nothing in it yet, and what was done for the memory that it is made of. */
interface Reserved {
  readonly shared: Shared;
  readonly cells: TunableCells;
  readonly traffic: ImageTraffic;
  readonly careOfMemory: readonly Care[];
}

/** What is reserved and not touched costs address space alone. Exit code 2 where it can't be had, or not as the config insists. */
export function reserveAll(config: Config): Reserved {
  const memory: SharedArrayBuffer[] = [];
  onReserve((buffer) => memory.push(buffer));
  try {
    const cells = tunableCells(config);
    const made = { cells, shared: reserveShared(config, cells), traffic: createImageTraffic() };
    return { ...made, careOfMemory: careForMemory(config.process, memory) };
  } finally {
    onReserve(null);
  }
}

/** What can be changed while the server runs, as the config has it. */
export function tunableCells(config: Config): TunableCells {
  return createCells(poolSettings(config));
}

/** Of reserveAll, what the pool is. */
export function reserveShared(config: Config, cells = tunableCells(config)): Shared {
  try {
    return createShared(liveSettings(poolSettings(config), cells));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const total = config.exports.reduce((sum, one) => sum + one.size, 0);
    const what = `${formatSize(config.pool.max)} of pool and the tables for ${formatSize(total)} of exports`;
    throw new ExitError(
      EXIT.usage,
      `pool.max: the address space of this process has no room for ${what} (${error.message}), allowed: less of either, or a higher limit (ulimit -v)`,
      { cause: error },
    );
  }
}

/** FLUSH and FUA are offered only where they can be kept: a pool in RAM is volatile. */
function exportInfos(config: Config): ExportInfo[] {
  const strict = config.durability === 'strict';
  const flags =
    NBD_FLAG_HAS_FLAGS |
    NBD_FLAG_SEND_TRIM |
    NBD_FLAG_SEND_WRITE_ZEROES |
    NBD_FLAG_SEND_CACHE |
    NBD_FLAG_CAN_MULTI_CONN |
    (strict ? NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA : 0);
  return config.exports.map((one) => ({
    name: one.name,
    description: one.description !== '' ? one.description : `zswapd, durability ${config.durability}`,
    size: one.size,
    flags,
    minBlock: 1,
    preferredBlock: PAGE_SIZE,
    maxBlock: NBD_MAX_PAYLOAD,
  }));
}
