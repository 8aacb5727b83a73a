/** How a caller is told that what he gave can't be used: what it is, and what it has to be. */
import { inspect, types } from 'node:util';

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
  // Systems end a path at such a byte; at its start it makes a name on Linux that is no path.
  if (path.indexOf('\0', 1) > 0) wrong(RangeError, 'path of a unix socket', path, 'no byte of 0 in it');
  if (Buffer.byteLength(path) > most) wrong(RangeError, 'path of a unix socket', path, `at most ${most} bytes`);
}

/** The longest time that Node's timers know. */
export const MAX_MS = 2 ** 31 - 1;

export function checkType(what: string, value: unknown, type: 'function' | 'boolean' | 'string', wanted: string): void {
  if (value !== undefined && typeof value !== type) wrong(TypeError, what, value, wanted);
}

export function checkWhole(what: string, value: unknown, least: number, most: number, unit = ''): void {
  if (value === undefined) return;
  const wanted = `a whole number${unit} from ${least} to ${most}`;
  if (typeof value !== 'number') wrong(TypeError, what, value, wanted);
  if (!Number.isInteger(value) || value < least || value > most) wrong(RangeError, what, value, wanted);
}

export const MS = ' of milliseconds';
export const checkMs = (what: string, value: unknown): void => checkWhole(what, value, 0, MAX_MS, MS);

/** A name that is mistyped would be a bound that is not there. */
export function checkNames(o: object, names: readonly string[]): void {
  for (const name of Object.keys(o)) {
    if (!names.includes(name)) throw new TypeError(`there is no option ${name}, but ${names.join(', ')}`);
  }
}

export const checkPort = (what: string, value: unknown): void => checkWhole(what, value, 0, 65_535);

/** Bytes that go out as they are. The length of any other array is not that of its bytes, or they are none. */
export function checkBytes(what: string, value: unknown): void {
  if (!types.isUint8Array(value)) wrong(TypeError, what, value, 'a Buffer or another Uint8Array');
}
