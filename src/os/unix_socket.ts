// Listening on a unix socket: the file left over by a dead server is replaced, that of a live one is not touched.
// Invariants: at no moment may more users connect than were asked for, and nothing but a dead socket is ever unlinked.
import {
  type BigIntStats,
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  renameSync,
  unlinkSync,
} from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { descriptorOf } from './descriptor.ts';
import { errnoName } from './errno.ts';
import { EXIT, ExitError, errorCode, errorText } from './exit_error.ts';
import { groupNumber } from './groups.ts';
import { dup } from './syscalls.ts';

/** Mode of a socket before it is given to others, and of one that is not. */
const OWNER_ONLY = 0o600;
/** A descriptor of a file that is not opened: a socket can't be. Node has no name for it. */
const O_PATH = 0x20_0000;

type Probe = 'live' | 'dead' | 'gone';

/** The left-over socket at `path`, or null if nothing is there; throws with exit code 2 for anything else. */
async function leftOver(path: string): Promise<BigIntStats | null> {
  const found = lstatSync(path, { throwIfNoEntry: false, bigint: true });
  if (found === undefined) return null;
  if (!found.isSocket()) {
    throw new ExitError(EXIT.usage, `${path}: exists and is not a socket, allowed: a new path, or a left-over socket`);
  }
  const state = await probe(path);
  if (state === 'live') throw inUse(path);
  return state === 'dead' ? found : null;
}

/** True if a left-over socket is at `path`, false if nothing is; throws with exit code 2 for anything else. Changes nothing. */
export async function isLeftOver(path: string): Promise<boolean> {
  return (await leftOver(path)) !== null;
}

/** Makes way for a socket at `path`, or throws with exit code 2. */
export async function claimUnixSocket(path: string): Promise<void> {
  const dead = await leftOver(path);
  if (dead === null) return;
  try {
    if (!removeDead(path, dead)) throw inUse(path);
  } catch (error) {
    if (error instanceof ExitError) throw error;
    if (errorCode(error) === 'ENOENT') return;
    throw new ExitError(EXIT.usage, `${path}: can't replace the left-over socket: ${errorText(error)}`, {
      cause: error,
    });
  }
}

/**
 * Removes the socket that was found dead, and no other. Two servers that start at the same time:
 *   1. both find the same dead socket,
 *   2. the other one removes it and listens on this path,
 *   3. ours would remove a live socket.
 * So it is first moved away in one step, looked at, and put back if it is another.
 */
function removeDead(path: string, dead: BigIntStats): boolean {
  const aside = `${path}.${process.pid}`;
  renameSync(path, aside);
  if (!isSame(lstatSync(aside, { bigint: true }), dead)) {
    renameSync(aside, path);
    return false;
  }
  unlinkSync(aside);
  return true;
}

/** The number of an inode is used again, but not together with the time at which the socket was made. */
function isSame(one: BigIntStats, other: BigIntStats): boolean {
  return one.dev === other.dev && one.ino === other.ino && one.mtimeNs === other.mtimeNs;
}

function inUse(path: string): ExitError {
  return new ExitError(
    EXIT.usage,
    `${path}: a server already answers on this socket, allowed: another path, or stop that server`,
  );
}

/** Whether somebody listens: the kernel answers at once, without a word from the server. */
function probe(path: string): Promise<Probe> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve('live');
    });
    socket.once('error', (error) => {
      const code = errorCode(error);
      if (code === 'ECONNREFUSED') resolve('dead');
      else if (code === 'ENOENT') resolve('gone');
      // A full backlog belongs to a server that is alive and slow.
      else if (code === 'EAGAIN') resolve('live');
      else
        reject(
          new ExitError(EXIT.usage, `${path}: can't tell if a server uses this socket: ${error.message}`, {
            cause: error,
          }),
        );
    });
  });
}

interface UnixSocketOptions {
  readonly backlog?: number;
  /** Such as 0o660; 0600 unless given. */
  readonly mode?: number;
  /** Name or number of the group that may connect, where `mode` lets one. null: that of the process. */
  readonly group?: string | null;
  /** Told why a close could not do as it should, which it does not throw. */
  readonly warn?: (line: string) => void;
}

/** Claims `path` and listens on it. Main thread only, because only it may set the umask. */
export async function listenUnix(server: Server, path: string, o: UnixSocketOptions = {}): Promise<void> {
  const { backlog = 511, mode = OWNER_ONLY, group = null, warn } = o;
  const gid = group === null ? null : groupOf(group, path);
  await claimUnixSocket(path);
  await new Promise<void>((resolve, reject) => {
    function fail(error: Error): void {
      reject(new ExitError(EXIT.usage, `${path}: can't listen: ${error.message}`, { cause: error }));
    }
    server.once('error', fail);
    // bind(2) happens inside listen(), so the socket never exists with wider rights; chmod would leave a window.
    const umask = process.umask(0o777 & ~OWNER_ONLY);
    try {
      server.listen({ path, backlog }, () => {
        server.removeListener('error', fail);
        resolve();
      });
    } finally {
      process.umask(umask);
    }
  });
  keepOthers(server, path, warn ?? (() => undefined));
  if (gid === null && mode === OWNER_ONLY) return;
  try {
    widen(path, gid, mode);
  } catch (error) {
    // Nobody else could connect so far; closing removes the file.
    server.close();
    const to = `${gid === null ? '' : `group ${group} and `}mode ${mode.toString(8).padStart(4, '0')}`;
    throw new ExitError(EXIT.usage, `${path}: can't give the socket ${to}: ${errorText(error)}`, { cause: error });
  }
}

/** A socket that listens, and that nobody accepts from. */
export interface HeldSocket {
  readonly fd: number;
  /** Closes it, and removes its file, if that is still there. */
  release(): void;
}

/** As listenUnix, for others to accept from: clients wait until somebody does. */
export async function holdUnix(path: string, o: UnixSocketOptions = {}): Promise<HeldSocket> {
  const server = createServer();
  await listenUnix(server, path, o);
  // In the turn in which it was bound, so that the loop has had no time to accept anybody.
  const fd = takeDescriptor(server);
  const own = found(path);
  const aside = `${path}.${process.pid}`;
  // The close of Node's own handle unlinks the path.
  renameSync(path, aside);
  server.close();
  renameSync(aside, path);
  return {
    fd,
    release() {
      closeSync(fd);
      const there = found(path);
      if (there === undefined || own === undefined || !isSame(there, own)) return;
      try {
        unlinkSync(path);
      } catch (error) {
        o.warn?.(`${path}: can't be removed: ${errorText(error)}`);
      }
    },
  };
}

/** A copy of the descriptor of a server that listens: it goes on listening when the server is closed. */
export function takeDescriptor(server: Server): number {
  const fd = dup(descriptorOf(server));
  if (fd < 0) throw new ExitError(EXIT.usage, `a listening socket can't be kept (${errnoName(fd)})`);
  return fd;
}

/**
 * A close unlinks the path, whatever is there by then: the socket of another server, if somebody removed ours and started
 * one. Another one steps aside for that moment. Whoever closes has something to save, so that nothing here throws.
 */
function keepOthers(server: Server, path: string, warn: (line: string) => void): void {
  const own = found(path);
  const close = server.close.bind(server);
  server.close = (done) => {
    const putBack = moveOther(path, own, warn);
    try {
      return close(done);
    } finally {
      putBack();
    }
  };
}

/** Moves what is not our own out of the way, and answers how to put it back. */
function moveOther(path: string, own: BigIntStats | undefined, warn: (line: string) => void): () => void {
  const aside = `${path}.${process.pid}`;
  try {
    const there = lstatSync(path, { throwIfNoEntry: false, bigint: true });
    if (there === undefined || (own !== undefined && isSame(there, own))) return () => undefined;
    renameSync(path, aside);
  } catch (error) {
    // What keeps us from there, or from changing that folder, keeps the close from unlinking anything too. The one exception
    // is a disk that has no room for another name.
    warn(`${path}: can't be reached at the close, and stays as it is: ${errorText(error)}`);
    return () => undefined;
  }
  return () => {
    try {
      renameSync(aside, path);
    } catch (error) {
      warn(`${path}: what was there now is ${aside}: ${errorText(error)}`);
    }
  };
}

/** undefined as well for what was taken away since it was bound: whatever is there later is another's. */
function found(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false, bigint: true });
  } catch (error) {
    if (errorCode(error) === '') throw error;
    return undefined;
  }
}

/**
 * Group first, then mode, so that the process's own group is never let in by the way. Through a descriptor of the socket
 * itself: by its path, a link that somebody put there would lead to another file.
 */
function widen(path: string, gid: number | null, mode: number): void {
  const fd = openSync(path, O_PATH | constants.O_NOFOLLOW);
  try {
    if (!fstatSync(fd).isSocket()) throw new Error('somebody has put another file there');
    if (gid !== null) chownSync(`/proc/self/fd/${fd}`, process.geteuid!(), gid);
    chmodSync(`/proc/self/fd/${fd}`, mode);
  } finally {
    closeSync(fd);
  }
}

function groupOf(group: string, path: string): number {
  const gid = groupNumber(group);
  if (gid === null) throw new ExitError(EXIT.usage, `${path}: no group ${group}, allowed: a group of this machine`);
  return gid;
}
