/** What a server and a ByteDevice are made from, looked at before anything begins: each complaint names what is wrong. */
import {
  checkMs,
  checkNames,
  checkPort,
  checkSocketPath,
  checkType,
  checkWhole,
  MAX_MS,
  MS,
  shown,
  wrong,
} from '../complaints.ts';
import { NBD_MAX_STRING } from '../wire.ts';
import { BLOCK_SIZE } from './byte_adapter.ts';
import type { ByteDevice } from './byte_device.ts';
import type { Device } from './device.ts';
import { isByBlocks } from './device_check.ts';
import { checkDeviceNames } from './device_names.ts';
import { MAX_BLOCK_SIZE } from './inbox.ts';

/** The smallest block that a client may be told to prefer. */
const MIN_BLOCK_SIZE = 512;
interface Options {
  readonly devices: readonly (Device | ByteDevice)[];
  readonly maxConnections?: unknown;
  readonly handshakeTimeoutMs?: unknown;
  readonly standstillMs?: unknown;
  readonly listing?: unknown;
  readonly onError?: unknown;
}

const OPTIONS = ['maxConnections', 'handshakeTimeoutMs', 'standstillMs', 'listing', 'onError'];

export function checkServerOptions(o: Options): void {
  if (typeof o !== 'object' || o === null) wrong(TypeError, 'what a server is made from', o, 'an object of options');
  const { devices: _, ...others } = o;
  checkNames(others, OPTIONS);
  if (!Array.isArray(o.devices)) wrong(TypeError, 'devices', o.devices, 'a list of devices');
  if (o.devices.length === 0) throw new RangeError('devices is [], and a server needs at least one device');
  checkWhole('maxConnections', o.maxConnections, 1, Number.MAX_SAFE_INTEGER);
  checkWhole('handshakeTimeoutMs', o.handshakeTimeoutMs, 1, MAX_MS, MS);
  checkMs('standstillMs', o.standstillMs);
  checkType('listing', o.listing, 'boolean', 'true or false');
  checkType('onError', o.onError, 'function', 'a function');
  for (const [i, device] of o.devices.entries()) {
    if (typeof device !== 'object' || device === null) wrong(TypeError, `devices[${i}]`, device, 'an object');
    if (!isByBlocks(device)) checkByteDevice(device, i);
  }
}

/** `at` is its index, for one that has no name. */
function checkByteDevice(device: ByteDevice, at: number): void {
  const named = typeof device.name === 'string' ? `device ${shown(device.name)}` : `devices[${at}]`;
  const what = (property: string): string => `${property} of ${named}`;
  checkDeviceNames(device, named);
  const text = `text of up to ${NBD_MAX_STRING} bytes`;
  if (device.size === undefined) wrong(TypeError, what('size'), undefined, 'a whole number of bytes');
  if (device.read === undefined) wrong(TypeError, what('read'), undefined, 'a function');
  checkType(what('name'), device.name, 'string', text);
  checkType(what('description'), device.description, 'string', text);
  checkWhole(what('size'), device.size, 0, Number.MAX_SAFE_INTEGER, ' of bytes');
  const most = device.blockSize ?? BLOCK_SIZE;
  checkPower(what('blockSize'), device.blockSize, MIN_BLOCK_SIZE, MAX_BLOCK_SIZE);
  checkPower(what('minBlock'), device.minBlock, 1, most);
  checkType(what('fastZero'), device.fastZero, 'boolean', 'true or false');
  for (const method of ['read', 'write', 'trim', 'zero', 'flush'] as const) {
    checkType(what(method), device[method], 'function', 'a function, or left out');
  }
  if (device.fastZero === true && device.zero === undefined) {
    wrong(RangeError, what('fastZero'), true, 'left out where there is no zero that could heed it');
  }
}

function checkPower(what: string, value: unknown, least: number, most: number): void {
  if (value === undefined) return;
  const wanted = `a power of two from ${least} to ${most}`;
  if (typeof value !== 'number') wrong(TypeError, what, value, wanted);
  if (!Number.isInteger(Math.log2(value)) || value < least || value > most) wrong(RangeError, what, value, wanted);
}

/** An address to listen on. */
export function checkAddress(where: unknown): void {
  const wanted = "the path of a unix socket, a port, or an object as net.Server's listen takes it";
  if (typeof where === 'number') {
    checkPort('address', where);
  } else if (typeof where === 'string') {
    checkPath(where, wanted);
  } else if (typeof where !== 'object' || where === null) {
    wrong(TypeError, 'address', where, wanted);
  } else if (where instanceof URL) {
    wrong(TypeError, 'address', where, `${wanted}, and no URL`);
  } else {
    checkListenOptions(where);
  }
}

/** A path, and nothing that only looks like one: such as a port that came from the environment. */
function checkPath(where: string, wanted: string): void {
  if (where.trim() === '') wrong(RangeError, 'address', where, wanted);
  if (/^\d+$/.test(where)) wrong(TypeError, 'address', where, `a number for a port, or './${where}' for a path`);
  if (/^\w[\w.+-]*:\/\//.test(where)) wrong(TypeError, 'address', where, `${wanted}, and no URL`);
  checkSocketPath(where);
}

/** Node would listen on the port alone if there is one, and on any port of all addresses if that is `undefined`. */
function checkListenOptions(where: object): void {
  const { path, port } = where as { readonly path?: unknown; readonly port?: unknown };
  const hasPath = path !== undefined && path !== null;
  if (hasPath && 'port' in where) wrong(TypeError, 'address', where, 'one of path and port');
  if ('port' in where && (port === undefined || port === null)) {
    wrong(TypeError, 'port of the address', port, 'a number from 0 to 65535, or left out');
  }
  if (typeof path === 'string') checkSocketPath(path);
  if ('port' in where) checkPort('port of the address', port);
  if (!hasPath && !OTHERWISE.some((key) => key in where)) {
    wrong(RangeError, 'address', where, 'an object with a path, a port, or a handle');
  }
}

/** What else net.Server listens on, besides a path. */
const OTHERWISE = ['port', 'handle', '_handle', 'fd'];

interface StreamLike {
  readonly pipe?: unknown;
  readonly write?: unknown;
  readonly destroyed?: boolean;
  readonly readableEncoding?: unknown;
  readonly readableObjectMode?: boolean;
  readonly writableObjectMode?: boolean;
}

/** A stream to serve a client on; `taken`: one that serves a client already. */
export function checkStream(stream: unknown, taken: boolean): void {
  const duplex = stream as StreamLike | null;
  const wanted = 'a Duplex that is open';
  if (typeof duplex?.pipe !== 'function' || typeof duplex.write !== 'function') {
    wrong(TypeError, 'stream', stream, wanted);
  }
  if (duplex.destroyed === true) throw new TypeError(`stream is destroyed, and has to be ${wanted}`);
  if (typeof duplex.readableEncoding === 'string') {
    throw new TypeError(`stream gives text (${duplex.readableEncoding}), and has to be a Duplex of bytes`);
  }
  if (duplex.readableObjectMode === true || duplex.writableObjectMode === true) {
    throw new TypeError('stream is in object mode, and has to be a Duplex of bytes');
  }
  if (taken) throw new TypeError('stream is served already, and has to be one that nobody reads');
}
