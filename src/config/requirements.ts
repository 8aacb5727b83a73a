// What every command needs of its process, asked before anything else is loaded: see main.ts.
// Invariant: imports nothing, and an old Node can read it.

/**
 * Descriptors that a process needs to get going: modules are opened by the dozen at once, in the main thread and in each
 * worker. What a server needs beyond that depends on its config (config/descriptors.ts).
 */
const DESCRIPTORS_MIN = 256;

/** As `engines.node` of package.json. */
export const NODE_WANTED = '>=20.11';

/** What is wrong with a Node of this version, or null. `wanted` is as above. */
export function nodeProblem(version: string, wanted: string): string | null {
  const least = wanted.replace('>=', '').split('.').map(Number);
  const found = version.split('.').map(Number);
  for (let i = 0; i < least.length; i++) {
    if (found[i] > least[i]) return null;
    if (found[i] < least[i]) return `this is Node ${version}, allowed: ${wanted}`;
  }
  return null;
}

/** What options of Node there are (NODE_OPTIONS too) that nothing here can run with, or null. */
export function optionsProblem(permission: unknown): string | null {
  // Native modules, threads and processes are all needed.
  if (permission !== undefined)
    return 'this Node restricts what is run (--experimental-permission, --permission), allowed: without that';
  if (!Object.isFrozen(Array.prototype)) return null;
  return 'the objects of this Node are frozen (--frozen-intrinsics), allowed: without that';
}

/** The descriptors that this process may have open, of the text of /proc/self/limits; Node has raised them to the hard limit. */
export function descriptorLimit(limits: string): number {
  return softLimit(/^Max open files +(\d+|unlimited)/m.exec(limits));
}

/** The bytes that a file may have for this process to write all of it, of the same text. */
export function fileSizeLimit(limits: string): number {
  return softLimit(/^Max file size +(\d+|unlimited)/m.exec(limits));
}

/** The bytes of address space that this process may lock, of the same text; CAP_IPC_LOCK has no limit. */
export function lockLimit(limits: string): number {
  return softLimit(/^Max locked memory +(\d+|unlimited)/m.exec(limits));
}

/** The address space that this process may have, in bytes, of the same text. */
export function addressSpaceLimit(limits: string): number {
  return softLimit(/^Max address space +(\d+|unlimited)/m.exec(limits));
}

function softLimit(line: RegExpExecArray | null): number {
  return line === null || line[1] === 'unlimited' ? Infinity : Number(line[1]);
}

export function descriptorProblem(limits: string): string | null {
  const limit = descriptorLimit(limits);
  if (limit >= DESCRIPTORS_MIN) return null;
  return `this process may open ${limit} files, allowed: at least ${DESCRIPTORS_MIN} (ulimit -n, LimitNOFILE)`;
}

/** What keeps a module from being loaded or a thread from being started, where that is not our fault; else null. */
export function loadProblem(error: { code?: string; message: string; cause?: unknown }): string | null {
  const { code, message } = error;
  if (error.cause instanceof Error) return loadProblem(error.cause);
  const line = message.split('\n')[0];
  if (code === 'EMFILE' || code === 'ENFILE')
    return `too many open files: ${line}, allowed: a higher limit (ulimit -n)`;
  if (code === 'ERR_WORKER_INIT_FAILED')
    return `can't start a thread: ${line}, allowed: more processes (ulimit -u), or memory`;
  // Asked of no option beforehand: there are several ways to say it, and this is what comes of all of them.
  if (code === 'ERR_DLOPEN_DISABLED') return 'this Node loads no native modules (--no-addons), allowed: without that';
  if (code === 'ENOENT' && /uv_cwd/.test(line)) return 'the current folder is gone, allowed: one that is there (cd)';
  if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND' && code !== 'ERR_DLOPEN_FAILED') return null;
  return `${line}, allowed: what scripts/build installs and compiles for this Node`;
}
