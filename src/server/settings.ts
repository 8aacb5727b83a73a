/** From the config, which people write, to the settings that the pool and the NBD server are built with. */
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
} from 'node-nbd-server';
import type { Config } from '../config/schema.ts';
import { formatSize } from '../config/units.ts';
import { EXIT, ExitError } from '../os/exit_error.ts';
import { MEMCGS_MAX, PAGE_SIZE } from '../pool/limits.ts';
import { createShared, type PoolSettings, type Shared } from '../pool/shared.ts';
import { PROTOCOLS } from '../protocols/index.ts';

function poolSettings(config: Config): PoolSettings {
  const names = [...new Set(config.exports.map((one) => one.memcg))];
  if (names.length > MEMCGS_MAX) {
    throw new ExitError(EXIT.usage, `exports: name ${names.length} memcgs, allowed: at most ${MEMCGS_MAX}`);
  }
  return {
    poolBytes: config.pool.max,
    acceptBytes: Math.floor((config.pool.max * config.pool.acceptThresholdPercent) / 100),
    level: config.compressor.level,
    sameFilled: config.pool.sameFilled,
    storeIncompressible: config.pool.incompressible === 'store',
    rawMaxBytes: config.pool.rawMax,
    rawOnReject: config.onRejectNoWriteback === 'raw',
    secondChance: config.shrinker.secondChance,
    strict: config.durability === 'strict',
    oracle: config.debug.oracle,
    buffers: config.image.buffers,
    lanes: config.lanes,
    absoluteIndexing: config.protocol.treeIndexing === 'absolute',
    locklessWalks: PROTOCOLS.invalidate[config.protocol.invalidate].lockless,
    checkEntries: config.debug.oracle,
    exports: config.exports.map((one) => ({
      name: one.name,
      pages: one.size / PAGE_SIZE,
      memcg: names.indexOf(one.memcg),
    })),
    memcgs: names.map((name) => ({
      name,
      max: config.memcgs[name]?.['zswap.max'] ?? Number.MAX_SAFE_INTEGER,
      writeback: config.memcgs[name]?.['zswap.writeback'] ?? true,
    })),
  };
}

/** Reserves the shared memory; what is reserved and not touched costs address space alone. Exit code 2 where it can't be had. */
export function reserveShared(config: Config): Shared {
  try {
    return createShared(poolSettings(config));
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
export function exportInfos(config: Config): ExportInfo[] {
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
