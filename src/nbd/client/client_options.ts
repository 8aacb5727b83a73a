/** What a client is told, looked at before anything begins: each complaint names what is wrong. */
import { checkMs, checkNames, checkPort, checkSocketPath, checkType, checkWhole, wrong } from '../complaints.ts';
import { NBD_MAX_STRING } from '../wire.ts';
import type { NbdAddress } from './socket.ts';

export interface NbdClientOptions extends NbdAddress {
  /** Name of the export; empty for the server's default. */
  readonly export?: string;
  /** Whether to ask for structured replies; yes unless set to false. */
  readonly structured?: boolean;
  /** Whether to ask for base:allocation, which block status needs. */
  readonly baseAllocation?: boolean;
  /** How to enter the transmission phase; GO unless given, and EXPORT_NAME if the server does not know GO. */
  readonly method?: 'go' | 'export-name';
  /** Whether to ask for EXPORT_NAME without pad bytes; yes unless set to false. */
  readonly noZeroes?: boolean;
  /** Requests with the server at one time; 128 unless given. */
  readonly maxInFlight?: number;
  /** Requests that wait for a place; 4096 unless given. */
  readonly maxQueued?: number;
  /** How long `disconnect` waits for the server before it destroys the socket; 10 s unless given. */
  readonly closeTimeoutMs?: number;
}

const ADDRESS = ['socketPath', 'host', 'port', 'timeoutMs'];
const SWITCHES = ['structured', 'baseAllocation', 'noZeroes'] as const;
const LIMITS = ['maxInFlight', 'maxQueued'] as const;
const OPTIONS = [...ADDRESS, 'export', 'method', 'closeTimeoutMs', ...SWITCHES, ...LIMITS];
const METHODS = ['go', 'export-name'];

function checkWhere(o: NbdAddress): void {
  const path = 'the path of a unix socket';
  checkType('socketPath', o.socketPath, 'string', path);
  if (o.socketPath === '') wrong(RangeError, 'socketPath', '', path);
  if (o.socketPath !== undefined) checkSocketPath(o.socketPath);
  checkType('host', o.host, 'string', 'a name or an address');
  checkPort('port', o.port);
  checkMs('timeoutMs', o.timeoutMs);
}

export function checkAddressOptions(o: NbdAddress): void {
  checkObject(o);
  checkNames(o, ADDRESS);
  checkWhere(o);
}

export function checkClientOptions(o: NbdClientOptions): void {
  checkObject(o);
  checkNames(o, OPTIONS);
  checkWhere(o);
  const text = `text of up to ${NBD_MAX_STRING} bytes`;
  checkType('export', o.export, 'string', text);
  if (Buffer.byteLength(o.export ?? '') > NBD_MAX_STRING) wrong(RangeError, 'export', o.export, text);
  if (o.method !== undefined && !METHODS.includes(o.method))
    wrong(RangeError, 'method', o.method, METHODS.join(' or '));
  for (const name of SWITCHES) checkType(name, o[name], 'boolean', 'true or false');
  checkWhole('maxInFlight', o.maxInFlight, 1, Number.MAX_SAFE_INTEGER);
  checkWhole('maxQueued', o.maxQueued, 0, Number.MAX_SAFE_INTEGER);
  checkMs('closeTimeoutMs', o.closeTimeoutMs);
}

/** What the header of a request has room for: the rest of it would be lost, or be an error when it is too late for one. */
export function checkRequest(type: number, flags: number, offset: number | bigint, length: number): void {
  checkWhole('type', type ?? null, 0, 0xffff);
  checkWhole('flags', flags ?? null, 0, 0xffff);
  if (typeof offset === 'bigint') {
    if (BigInt.asUintN(64, offset) !== offset) wrong(RangeError, 'offset', offset, 'a number of 64 bits');
  } else checkWhole('offset', offset ?? null, 0, Number.MAX_SAFE_INTEGER);
  checkWhole('length', length ?? null, 0, 0xffff_ffff);
}

function checkObject(o: unknown): void {
  if (typeof o !== 'object' || o === null) wrong(TypeError, 'what a client is told', o, 'an object of options');
}
