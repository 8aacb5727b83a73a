// Listening on a unix socket: the file left over by a dead server is replaced, that of a live one is not touched.
// Invariants: at no moment may more users connect than were asked for, and nothing but a dead socket is ever unlinked.
import { chmodSync, chownSync, closeSync, constants, fstatSync, lstatSync, openSync, unlinkSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { groupNumber } from '../os/groups.ts';
import { EXIT, ExitError, errorCode, errorText } from './exit_error.ts';

/** Mode of a socket before it is given to others, and of one that is not. */
const OWNER_ONLY = 0o600;
/** A descriptor of a file that is not opened: a socket can't be. Node has no name for it. */
const O_PATH = 0x20_0000;

type Probe = 'live' | 'dead' | 'gone';

/** Makes way for a socket at `path`, or throws with exit code 2. */
export async function claimUnixSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new ExitError(EXIT.usage, `${path}: exists and is not a socket, allowed: a new path, or a left-over socket`);
  }
  const state = await probe(path);
  if (state === 'gone') return;
  if (state === 'live') {
    throw new ExitError(
      EXIT.usage,
      `${path}: a server already answers on this socket, allowed: another path, or stop that server`,
    );
  }
  try {
    unlinkSync(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw new ExitError(EXIT.usage, `${path}: can't replace the left-over socket: ${errorText(error)}`, {
      cause: error,
    });
  }
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

export interface UnixSocketOptions {
  readonly backlog?: number;
  /** Such as 0o660; 0600 unless given. */
  readonly mode?: number;
  /** Name or number of the group that may connect, where `mode` lets one. null: that of the process. */
  readonly group?: string | null;
}

/** Claims `path` and listens on it. Main thread only, because only it may set the umask. */
export async function listenUnix(server: Server, path: string, o: UnixSocketOptions = {}): Promise<void> {
  const { backlog = 511, mode = OWNER_ONLY, group = null } = o;
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
