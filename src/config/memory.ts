// How much memory this process may count on: what "20%" in the config is a share of.
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { errorCode } from '../os/exit_error.ts';
import { type Mount, parseMounts } from '../os/mounts.ts';

const SELF = '/proc/self';

/** The smallest of the machine's RAM and the limits of the cgroups that the process is in, in bytes. */
export function usableMemory(self = SELF): number {
  // Node knows the limit of the process's own cgroup at most, and answers 0 where it finds none.
  const own = process.constrainedMemory();
  return Math.min(totalmem(), cgroupLimit(self), own > 0 ? own : Infinity);
}

/**
 * The least limit from the cgroup of the process up to the root, or to the highest that is mounted here; Infinity where none is
 * to be seen. `self`: its folder in /proc.
 */
export function cgroupLimit(self = SELF): number {
  const groups = readText(join(self, 'cgroup'))?.split('\n') ?? [];
  const limits = parseMounts(readText(join(self, 'mountinfo')) ?? '').map((mount) => {
    if (mount.type === 'cgroup2') return limitBelow(mount, pathOf(groups, ''));
    const isMemory = mount.type === 'cgroup' && mount.options.split(',').includes('memory');
    return isMemory ? limitOfFirstVersion(mount, pathOf(groups, 'memory')) : Infinity;
  });
  return Math.min(Infinity, ...limits);
}

/** A line is `number:controllers:path`; without controllers it is that of version 2. */
function pathOf(groups: readonly string[], controller: string): string | null {
  for (const line of groups) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers?.split(',').includes(controller)) return path;
  }
  return null;
}

function limitBelow(mount: Mount, path: string | null): number {
  let limit = Infinity;
  let folder = shown(mount, path);
  while (folder !== null) {
    // The root has no such file; elsewhere it has a number, or "max".
    const text = readText(join(folder, 'memory.max'));
    if (text !== null && /^\d+\n?$/.test(text)) limit = Math.min(limit, Number(text));
    folder = folder === mount.point || folder === dirname(folder) ? null : dirname(folder);
  }
  return limit;
}

/** Version 1 has done the way up itself. */
function limitOfFirstVersion(mount: Mount, path: string | null): number {
  const folder = shown(mount, path);
  const text = folder === null ? null : readText(join(folder, 'memory.stat'));
  const line = /^hierarchical_memory_limit (\d+)$/m.exec(text ?? '');
  return line === null ? Infinity : Number(line[1]);
}

/** Where a cgroup is seen in a mount, which in a container may show a part of the tree; null for one that is not in it. */
function shown({ root, point }: Mount, path: string | null): string | null {
  if (path === null) return null;
  const prefix = root === '/' ? '' : root;
  if (path !== prefix && !path.startsWith(`${prefix}/`)) return null;
  return join(point, path.slice(prefix.length), '.');
}

/** null where there is no such file, or none that we may read: it tells of no limit. */
function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === '') throw error;
    return null;
  }
}
