/** How a caller is told that what he gave can't be used: what it is, and what it has to be. */
import { inspect } from 'node:util';

/**
 * Bytes that the path of a unix socket may have: sun_path holds one more, a zero. A pipe of Windows is no such path.
 * What is longer would be cut in silence by most versions of Node, and be the address of somebody else.
 */
const MAX_SOCKET_PATH = { linux: 107, win32: Number.POSITIVE_INFINITY, others: 103 };

export const shown = (value: unknown): string =>
  inspect(value, { depth: 0, maxStringLength: 60, maxArrayLength: 5, breakLength: Number.POSITIVE_INFINITY });

/** Throws TypeError for a value of another kind than is asked for, RangeError for one that is out of bounds. */
export function wrong(kind: typeof TypeError | typeof RangeError, what: string, value: unknown, wanted: string): never {
  throw new kind(`${what} is ${shown(value)}, and has to be ${wanted}`);
}

export function checkSocketPath(path: string): void {
  const { platform } = process;
  const most = MAX_SOCKET_PATH[platform === 'linux' || platform === 'win32' ? platform : 'others'];
  if (Buffer.byteLength(path) > most) wrong(RangeError, 'path of a unix socket', path, `at most ${most} bytes`);
}
