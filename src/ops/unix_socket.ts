// Listening on a unix socket: the file left over by a dead server is replaced, that of a live one is not touched.
// Invariant: the socket's mode is 0600 from its first moment, and nothing but a dead socket is ever unlinked.
import { lstatSync, unlinkSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { EXIT, ExitError, errorCode, errorText } from './exit_error.ts';

type Probe = 'live' | 'dead' | 'gone';

/** True if a left-over socket is at `path`, false if nothing is; throws with exit code 2 for anything else. Changes nothing. */
export async function isLeftOver(path: string): Promise<boolean> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (!found.isSocket()) {
    throw new ExitError(EXIT.usage, `${path}: exists and is not a socket, allowed: a new path, or a left-over socket`);
  }
  const state = await probe(path);
  if (state === 'live') {
    throw new ExitError(
      EXIT.usage,
      `${path}: a server already answers on this socket, allowed: another path, or stop that server`,
    );
  }
  return state === 'dead';
}

/** Makes way for a socket at `path`, or throws with exit code 2. */
export async function claimUnixSocket(path: string): Promise<void> {
  if (!(await isLeftOver(path))) return;
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

/** Claims `path` and listens on it with mode 0600. Main thread only, because only it may set the umask. */
export async function listenUnix(server: Server, path: string, backlog = 511): Promise<void> {
  await claimUnixSocket(path);
  await new Promise<void>((resolve, reject) => {
    function fail(error: Error): void {
      reject(new ExitError(EXIT.usage, `${path}: can't listen: ${error.message}`, { cause: error }));
    }
    server.once('error', fail);
    // bind(2) happens inside listen(), so the socket never exists with wider rights; chmod would leave a window.
    const umask = process.umask(0o177);
    try {
      server.listen({ path, backlog }, () => {
        server.removeListener('error', fail);
        resolve();
      });
    } finally {
      process.umask(umask);
    }
  });
}
