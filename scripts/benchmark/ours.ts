/**
 * Our own server as a row of the table: started by ./scripts/serve as any user would, asked by `zswapd stats --json`.
 */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { capture } from '../support/child.ts';
import { READY_SECONDS, startZswapd } from '../support/zswapd.ts';
import { residentBytes } from './procfs.ts';
import { type Holding, PAGE_BYTES, type RunningServer, type ServerKind, type StartContext } from './server.ts';

/** Every number found under `name`, wherever in the document, in its order. */
function numbersNamed(value: unknown, name: string): number[] {
  if (typeof value !== 'object' || value === null) return [];
  const own = (value as Record<string, unknown>)[name];
  const here = typeof own === 'number' ? [own] : [];
  return [...here, ...Object.values(value).flatMap((child) => numbersNamed(child, name))];
}

/** The document's own total of a counter, which stands at the top or one level below it; per-memcg values lie deeper. */
export function counter(stats: unknown, name: string): number {
  let level: unknown[] = [stats];
  for (let depth = 0; depth < 3; depth++) {
    for (const value of level) {
      const own = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
      if (typeof own === 'number') return own;
    }
    level = level.flatMap((value) => (typeof value === 'object' && value !== null ? Object.values(value) : []));
  }
  throw new Error(`zswapd stats --json has no ${name}`);
}

async function readStats(context: StartContext, control: string): Promise<unknown> {
  const text = await capture(
    process.execPath,
    ...[join(context.root, 'dist/main.js'), 'stats', '--json', '--control', control],
  );
  if (text === undefined) throw new Error('zswapd stats failed');
  return JSON.parse(text);
}

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)}MiB`;

/** The image, and the marker that a killed server leaves beside it. */
function removeImage(image: string): void {
  rmSync(image, { force: true });
  rmSync(`${image}.zswapd`, { force: true });
}

/** How a server of ours is started: which program, how large its pool is, and what else is set. */
interface Start {
  readonly command: readonly [string, ...string[]];
  readonly poolBytes: number;
  readonly settings?: readonly string[];
}

interface OurServer extends RunningServer {
  /** What `zswapd stats --json` answers. */
  stats(): Promise<unknown>;
}

export async function startOurs(context: StartContext, start: Start): Promise<OurServer> {
  const image = join(context.folder, 'ours.img');
  removeImage(image);
  const { child, controlPath, uris } = startZswapd({
    command: start.command,
    sockets: context.folder,
    exports: [{ name: 'swap0', size: mebibytes(context.bytes), image }],
    // A killed server leaves a note of its image there: elsewhere it would outlive the run, and keep the next row from starting.
    env: { STATE_DIRECTORY: context.folder },
    set: [`pool.max=${mebibytes(start.poolBytes)}`, ...(start.settings ?? [])],
  });
  const uri = await child.until(() => uris().find((one) => one.startsWith('nbd+unix:')), READY_SECONDS);
  const before = residentBytes(child.pid);
  return {
    uri,
    pid: child.pid,
    stats: () => readStats(context, controlPath),
    async holding(): Promise<Holding> {
      const stats = await readStats(context, controlPath);
      const storedPages = counter(stats, 'stored_pages');
      const compressed = counter(stats, 'compressed_bytes');
      return {
        storedPages,
        residentBytes: residentBytes(child.pid) - before,
        ratio: (storedPages * PAGE_BYTES) / compressed,
        overhead: (counter(stats, 'pool_total_size') + counter(stats, 'metadata_bytes')) / compressed,
        gcMs: numbersNamed(stats, 'gc_ms'),
      };
    },
    async stop(): Promise<void> {
      // The image is thrown away. A clean stop would write the whole pool into it and load the disk under the next row.
      await child.stop('SIGKILL');
      removeImage(image);
    },
  };
}

export const serveCommand = (context: StartContext): [string] => [join(context.root, 'scripts/serve')];

function ours(name: string, title: string, poolShare: number): ServerKind {
  return {
    name,
    title,
    async unavailable(context) {
      return existsSync(join(context.root, 'scripts/serve')) ? undefined : 'scripts/serve is missing';
    },
    start: (context) => startOurs(context, { command: serveCommand(context), poolBytes: context.bytes * poolShare }),
  };
}

export const OURS: readonly ServerKind[] = [
  // The pool has room for the data even if none of it were compressible.
  ours('ours', 'ours', 1.25),
  ours('ours-quarter', 'ours, pool 1/4', 0.25),
];
