/**
 * One connection of a hostile client as plain data, and as the bytes that it sends.
 *
 * A session follows the grammar of the protocol (flags, options, requests) and says where it leaves it: each field has its own
 * way to lie, and the damage at the end knows nothing of fields. It is JSON, so a case that has failed can be kept as it is.
 */
import * as wire from 'node-nbd-server';
import { infoData, option, u16, u32 } from '../handshake_driver.ts';

/** The data of an option: what the protocol says it is, or something else. */
export type OptionData =
  | { readonly kind: 'none' }
  | { readonly kind: 'junk'; readonly bytes: number; readonly fill: number }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'info'; readonly name: string; readonly infos: readonly number[] }
  | { readonly kind: 'meta'; readonly name: string; readonly queries: readonly string[] };

export interface OptionStep {
  readonly code: number;
  readonly data: OptionData;
  /** Added to the announced length of the option, of its name, and of its list (of infos or queries). */
  readonly lies: readonly [option: number, name: number, list: number];
}

export interface RequestStep {
  readonly type: number;
  readonly flags: number;
  /** Both halves of the cookie, and of the offset. */
  readonly cookie: readonly [number, number];
  readonly offset: readonly [number, number];
  readonly length: number;
  /** Of a WRITE: bytes of payload beyond `length`, or missing if it is less than 0; and what they are. */
  readonly surplus: number;
  readonly fill: number;
}

/** What is done to the bytes afterwards, at a place in thousandths of all. */
export interface Damage {
  readonly kind: 'flip' | 'remove' | 'repeat' | 'insert';
  readonly at: number;
  /** The bit that flips, or how many bytes. */
  readonly n: number;
}

/** How it ends: waits for all it is owed, and says goodbye or not; ends its side and reads on; or just leaves. */
export type Ending = 'goodbye' | 'wait' | 'half' | 'leave';

export interface Session {
  /** Which of the servers under test, by its number. */
  readonly server: number;
  /** How the device of the first export answers. */
  readonly device: 'now' | 'soon' | 'taken' | 'wait';
  readonly flags: number;
  readonly options: readonly OptionStep[];
  readonly requests: readonly RequestStep[];
  readonly damage: readonly Damage[];
  /** Where its bytes are cut into pieces, and where it ends, in thousandths of all. */
  readonly cuts: readonly number[];
  readonly until: number;
  /** Takes no reply before everything is sent. */
  readonly deaf: boolean;
  readonly ending: Ending;
}

/** Beyond this no payload is sent, whatever was announced. */
const MAX_PAYLOAD = 300 * 1024;

const u32of = (value: number): number => value >>> 0;

function lied(data: Buffer, at: number, bytes: 2 | 4, lie: number): void {
  if (lie === 0) return;
  if (bytes === 2) data.writeUInt16BE((data.readUInt16BE(at) + lie) & 0xffff, at);
  else data.writeUInt32BE(u32of(data.readUInt32BE(at) + lie), at);
}

function dataBytes({ data, lies: [, nameLie, listLie] }: OptionStep): Buffer {
  if (data.kind === 'none') return Buffer.alloc(0);
  if (data.kind === 'junk') return Buffer.alloc(data.bytes, data.fill);
  if (data.kind === 'name') return Buffer.from(data.name);
  const behind = 4 + Buffer.byteLength(data.name);
  let bytes: Buffer;
  if (data.kind === 'info') {
    bytes = infoData(data.name, ...data.infos);
    lied(bytes, behind, 2, listLie);
  } else {
    const queries = data.queries.map((query) => Buffer.concat([u32(Buffer.byteLength(query)), Buffer.from(query)]));
    bytes = Buffer.concat([u32(behind - 4), Buffer.from(data.name), u32(queries.length), ...queries]);
    lied(bytes, behind, 4, listLie);
  }
  lied(bytes, 0, 4, nameLie);
  return bytes;
}

function optionBytes(step: OptionStep): Buffer {
  const data = dataBytes(step);
  return option(step.code, data, u32of(data.length + step.lies[0]));
}

function requestBytes(step: RequestStep): Buffer {
  const head = Buffer.concat([
    u32(wire.NBD_REQUEST_MAGIC),
    u16(step.flags, step.type),
    u32(...step.cookie, ...step.offset, step.length),
  ]);
  if (step.type !== wire.NBD_CMD_WRITE) return head;
  const payload = Math.min(MAX_PAYLOAD, Math.max(0, step.length + step.surplus));
  return Buffer.concat([head, Buffer.alloc(payload, step.fill)]);
}

function damaged(bytes: Buffer, { kind, at, n }: Damage): Buffer {
  const from = placeOf(at, Math.max(0, bytes.length - 1));
  const [head, tail] = [bytes.subarray(0, from), bytes.subarray(from)];
  if (kind === 'remove') return Buffer.concat([head, tail.subarray(n)]);
  if (kind === 'repeat') return Buffer.concat([head, tail.subarray(0, n), tail]);
  if (kind === 'insert') return Buffer.concat([head, Buffer.alloc(n, n), tail]);
  const copy = Buffer.from(bytes);
  if (from < copy.length) copy[from] ^= 1 << (n & 7);
  return copy;
}

const placeOf = (thousandths: number, length: number): number => Math.floor((thousandths * length) / 1000);

/** Everything that it sends, in the pieces in which it does. */
export function piecesOf(session: Session): Buffer[] {
  const whole = Buffer.concat([
    u32(session.flags),
    ...session.options.map(optionBytes),
    ...session.requests.map(requestBytes),
  ]);
  const bytes = session.damage.reduce(damaged, whole);
  const end = placeOf(session.until, bytes.length);
  const cuts = session.cuts.map((cut) => placeOf(cut, end)).sort((a, b) => a - b);
  const pieces: Buffer[] = [];
  let from = 0;
  for (const to of [...cuts, end]) {
    if (to > from) pieces.push(bytes.subarray(from, to));
    from = to;
  }
  return pieces;
}
