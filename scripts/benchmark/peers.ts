/**
 * The servers that we are compared with: nbdkit's memory plugin plain and with zstd, nbdkit over a zram device, and qemu-nbd
 * with a raw file on tmpfs. Each is started as its own manual shows, with no tuning besides what the row's title says.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  openSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Child, capture } from '../support/child.ts';
import { blockCacheBytes, bytesWritten, residentBytes, zramCounters } from './procfs.ts';
import {
  type Holding,
  PAGE_BYTES,
  type RunningServer,
  type ServerKind,
  type StartContext,
  socketUri,
} from './server.ts';
import { claimZram, releaseZram, whyNoZram, ZRAM } from './zram.ts';

async function whyNoNbdkit(plugin: string, feature?: string): Promise<string | undefined> {
  const dump = await capture('nbdkit', plugin, '--dump-plugin');
  if (dump === undefined) return `nbdkit or its ${plugin} plugin is missing`;
  return feature === undefined || dump.includes(feature) ? undefined : `this nbdkit has no ${feature}`;
}

/** Starts nbdkit in the foreground, so that the child is the server; its pid file appears once it accepts. */
async function startNbdkit(context: StartContext, args: readonly string[]): Promise<{ child: Child; uri: string }> {
  const socket = join(context.folder, 'nbdkit.sock');
  const pidFile = join(context.folder, 'nbdkit.pid');
  rmSync(socket, { force: true });
  rmSync(pidFile, { force: true });
  const child = new Child('nbdkit', ['-f', '-U', socket, '-P', pidFile, ...args]);
  await child.untilFile(pidFile);
  return { child, uri: socketUri(socket) };
}

function nbdkitMemory(name: string, title: string, allocator?: string): ServerKind {
  return {
    name,
    title,
    unavailable: () => whyNoNbdkit('memory', allocator),
    async start(context): Promise<RunningServer> {
      const extra = allocator === undefined ? [] : [`allocator=${allocator}`];
      const { child, uri } = await startNbdkit(context, ['memory', String(context.bytes), ...extra]);
      const before = residentBytes(child.pid);
      return {
        uri,
        pid: child.pid,
        async holding(): Promise<Holding> {
          const grown = residentBytes(child.pid) - before;
          const base = { storedPages: context.bytes / PAGE_BYTES, residentBytes: grown };
          // nbdkit publishes no counter, so its ratio is told from outside and includes what its allocator loses.
          return allocator === undefined ? base : { ...base, ratio: context.bytes / grown };
        },
        stop: () => child.stop('SIGTERM'),
      };
    },
  };
}

function nbdkitZram(name: string, title: string, cache: 'none' | 'default'): ServerKind {
  return {
    name,
    title,
    unavailable: async () => (await whyNoNbdkit('file')) ?? whyNoZram(),
    async start(context): Promise<RunningServer> {
      claimZram(context.bytes);
      const started = startNbdkit(context, ['file', `/dev/${ZRAM}`, `cache=${cache}`]);
      const { child, uri } = await started.catch((error: unknown) => {
        releaseZram();
        throw error;
      });
      const residentBefore = residentBytes(child.pid);
      const cacheBefore = blockCacheBytes();
      let pushedByUs = 0;
      return {
        uri,
        pid: child.pid,
        async holding(): Promise<Holding> {
          const written = bytesWritten(ZRAM);
          const bytesBelow = written - pushedByUs;
          // Pages that are still only in the page cache are not in zram's counters; push them down first.
          const fd = openSync(`/dev/${ZRAM}`, 'r+');
          fdatasyncSync(fd);
          closeSync(fd);
          pushedByUs += bytesWritten(ZRAM) - written;
          const counters = zramCounters(ZRAM);
          const cached = Math.max(0, blockCacheBytes() - cacheBefore);
          return {
            storedPages: counters.origDataSize / PAGE_BYTES,
            residentBytes: counters.memUsedTotal + cached + residentBytes(child.pid) - residentBefore,
            ratio: counters.origDataSize / counters.comprDataSize,
            overhead: counters.memUsedTotal / counters.comprDataSize,
            bytesBelow,
          };
        },
        async stop(): Promise<void> {
          await child.stop('SIGTERM');
          releaseZram();
        },
      };
    },
  };
}

const TMPFS = '/dev/shm';
const TMPFS_MAGIC = 0x01021994;

const qemuTmpfs: ServerKind = {
  name: 'qemu',
  title: 'qemu-nbd, tmpfs',
  async unavailable(context) {
    if ((await capture('qemu-nbd', '--version')) === undefined) return 'qemu-nbd is missing';
    if (!existsSync(TMPFS)) return `${TMPFS} is missing`;
    const fs = statfsSync(TMPFS);
    if (fs.type !== TMPFS_MAGIC) return `${TMPFS} is not a tmpfs`;
    return fs.bavail * fs.bsize < context.bytes * 1.1 ? `${TMPFS} has no room for the device` : undefined;
  },
  async start(context): Promise<RunningServer> {
    const file = join(TMPFS, `zswapd-bench-${process.pid}.raw`);
    const socket = join(context.folder, 'qemu.sock');
    const pidFile = join(context.folder, 'qemu.pid');
    rmSync(pidFile, { force: true });
    writeFileSync(file, '', { mode: 0o600 });
    truncateSync(file, context.bytes);
    tmpfsFiles.add(file);
    const options = ['-f', 'raw', '-e', '8', '-t', '--cache=writeback', '--aio=threads'];
    const child = new Child('qemu-nbd', ['-k', socket, `--pid-file=${pidFile}`, ...options, file]);
    await child.untilFile(pidFile);
    const before = residentBytes(child.pid);
    return {
      uri: socketUri(socket),
      pid: child.pid,
      async holding(): Promise<Holding> {
        const inFile = statSync(file).blocks * 512;
        return { storedPages: inFile / PAGE_BYTES, residentBytes: inFile + residentBytes(child.pid) - before };
      },
      async stop(): Promise<void> {
        await child.stop('SIGTERM');
        removeTmpfsFiles();
      },
    };
  },
};

const tmpfsFiles = new Set<string>();

export function removeTmpfsFiles(): void {
  for (const file of tmpfsFiles) rmSync(file, { force: true });
  tmpfsFiles.clear();
}

export const PEERS: readonly ServerKind[] = [
  nbdkitMemory('memory', 'nbdkit memory'),
  nbdkitMemory('zstd', 'nbdkit memory, zstd', 'zstd'),
  nbdkitZram('zram', 'nbdkit zram', 'none'),
  nbdkitZram('zram-cached', 'nbdkit zram, page cache', 'default'),
  qemuTmpfs,
];
