/** Paths of memcgs, as people and config files write them: `system.slice/a`, with or without a leading slash. */
import { DEPTH_MAX, NAME_BYTES } from './memcg.ts';

/** Why a path, or a change of the tree, is refused; `code` is the errno that a kernel would answer. */
export class MemcgError extends Error {
  readonly code: 'EINVAL' | 'ENOENT' | 'EEXIST' | 'EBUSY' | 'EAGAIN' | 'ENOSPC';

  constructor(code: MemcgError['code'], message: string) {
    super(`${code}: ${message}`);
    this.code = code;
  }
}

/** What is in the folder of every memcg (control/fs/cgroup.ts), so that none can be called so. */
export const CGROUP_FILES = [
  'cgroup.stat',
  'memory.reclaim',
  'memory.stat',
  'memory.zswap.current',
  'memory.zswap.max',
  'memory.zswap.writeback',
] as const;

/** The names on a path, outermost first; none for the root, which is `/` or the empty path. */
export function namesOf(path: string): string[] {
  if (path === '' || path === '/') return [];
  const names = (path.startsWith('/') ? path.slice(1) : path).split('/');
  for (const name of names) {
    const wrong = problemOf(name);
    if (wrong !== null) throw new MemcgError('EINVAL', `memcg ${JSON.stringify(path)}: ${wrong}`);
  }
  if (names.length > DEPTH_MAX) {
    throw new MemcgError(
      'EAGAIN',
      `memcg ${JSON.stringify(path)}: ${names.length} levels, allowed: at most ${DEPTH_MAX}`,
    );
  }
  return names;
}

function problemOf(name: string): string | null {
  if (name === '') return 'a name is empty';
  if (name === '.' || name === '..') return `${name} is no name`;
  // The kernel refuses a newline, because /proc/PID/cgroup has a path per line; a zero ends every path.
  if (name.includes('\n') || name.includes('\0')) return 'a name has a newline or a zero';
  if (!name.isWellFormed()) return 'a name has half of a surrogate pair';
  if ((CGROUP_FILES as readonly string[]).includes(name)) return `${name} is a file of every memcg`;
  const bytes = Buffer.byteLength(name);
  return bytes > NAME_BYTES ? `a name has ${bytes} bytes, allowed: at most ${NAME_BYTES}` : null;
}

/** Below the memcg of an export with an agent: what has the pages that nobody claimed. */
export const UNATTRIBUTED = 'unattributed';

/** The path of what is called `path` below `above`. */
export function below(above: string, path: string): string {
  return [...namesOf(above), ...namesOf(path)].join('/');
}

/** The one way to write a path. */
export function canonicalPath(path: string): string {
  const names = namesOf(path);
  return names.length === 0 ? '/' : names.join('/');
}
