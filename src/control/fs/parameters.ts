/**
 * /parameters: the module's parameters under their kernel names, and this server's own under those of its config. What can be
 * written changes in every thread before the write is answered; the others are as they were at the start.
 */
import type { Config } from '../../config/schema.ts';
import { currentAllocator, type ObjectMemory, poolsOf, switchAllocator } from '../../pool/allocator/index.ts';
import { PAGE_SIZE } from '../../pool/limits.ts';
import { FsError } from './errors.ts';
import { formatBool, parseBool, parseInteger, parseSize } from './notations.ts';
import { type File, type Folder, table } from './tree.ts';

/** What can be set while the server runs. */
export interface Tunables {
  /** pool.max, in bytes; at most what was reserved at the start. */
  poolMax: number;
  readonly poolReserved: number;
  acceptThresholdPercent: number;
  sameFilled: boolean;
  enabled: boolean;
  shrinkerEnabled: boolean;
}

const fixed = (text: string): File => ({ read: () => text });

/** `usable`: what percentages of the pool are of, in bytes. */
export function parameters(config: Config, tunables: Tunables, usable: number, zs: ObjectMemory): Folder {
  return table({
    enabled: {
      read: () => formatBool(tunables.enabled),
      write: (text) => {
        tunables.enabled = parseBool(text);
      },
    },
    compressor: fixed('zstd'),
    zpool: zpool(zs),
    max_pool_percent: maxPoolPercent(tunables, usable),
    accept_threshold_percent: {
      read: () => String(tunables.acceptThresholdPercent),
      write: (text) => {
        tunables.acceptThresholdPercent = parseInteger(text, 1, 100);
      },
    },
    shrinker_enabled: {
      read: () => formatBool(tunables.shrinkerEnabled),
      write: (text) => {
        tunables.shrinkerEnabled = parseBool(text);
      },
    },
    same_filled_pages_enabled: {
      read: () => formatBool(tunables.sameFilled),
      write: (text) => {
        tunables.sameFilled = parseBool(text);
      },
    },
    non_same_filled_pages_enabled: fixed(formatBool(true)),
    'pool.max': {
      read: () => String(tunables.poolMax),
      write: (text) => {
        tunables.poolMax = parseSize(text, tunables.poolReserved);
      },
    },
    ...protocols(config),
  });
}

function protocols({ protocol }: Config): Record<string, File> {
  const text = (value: string | boolean | null): string =>
    typeof value === 'boolean' ? formatBool(value) : (value ?? 'none');
  return Object.fromEntries(Object.entries(protocol).map(([key, value]) => [`protocol.${key}`, fixed(text(value))]));
}

/** Where new objects go; those that are stored stay where they are. */
function zpool(zs: ObjectMemory): File {
  const names = poolsOf(zs).map(({ kind }) => kind);
  const read = (): string => currentAllocator(zs);
  if (names.length === 1) return { read };
  return {
    read,
    write: (text) => {
      const name = names.find((one) => one === text);
      if (name === undefined) throw new FsError('ENOENT', `no such allocator here, allowed: ${names.join(', ')}`);
      switchAllocator(zs, name);
    },
  };
}

/**
 * In whole percent, as in the kernel, while pool.max may lie between them. What is shown for all that was reserved stands for
 * exactly that, so that a script can set the limit lower and then to what it was.
 */
function maxPoolPercent(tunables: Tunables, usable: number): File {
  const percentOf = (bytes: number): number => (bytes === 0 ? 0 : Math.max(1, Math.round((bytes * 100) / usable)));
  return {
    read: () => String(percentOf(tunables.poolMax)),
    write: (text) => {
      const most = percentOf(tunables.poolReserved);
      const percent = parseInteger(text, 0, most);
      const bytes = Math.floor((usable * percent) / 100 / PAGE_SIZE) * PAGE_SIZE;
      tunables.poolMax = percent === most ? tunables.poolReserved : Math.min(bytes, tunables.poolReserved);
    },
  };
}
