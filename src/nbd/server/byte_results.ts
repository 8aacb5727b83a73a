/**
 * What the methods of a ByteDevice have returned. A read that has not brought all of its bytes must not be answered with
 * zeros, nor a write that has stored a part with success; so whatever may say so is looked at, and nothing is guessed.
 */
import { types } from 'node:util';
import { shown } from '../complaints.ts';

/** Hands what was returned to `take`: the value of a promise when it comes, everything else before the device goes on. */
export function returned(result: unknown, take: (value: unknown) => void): unknown {
  const later = (typeof result === 'object' && result !== null) || typeof result === 'function';
  if (later && !holdsBytes(result)) return Promise.resolve(result).then(take);
  // A device may use the same memory for its next call.
  take(result);
  return undefined;
}

/** Where the bytes of a `read` are, which has returned `value`: in `into`, that it was given with `length` of them. */
export function bytesRead(value: unknown, into: Uint8Array, length: number): Uint8Array {
  if (value === undefined || value === null || value === into) return into;
  if (holdsBytes(value)) {
    const bytes = ArrayBuffer.isView(value)
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new Uint8Array(value);
    if (bytes.length !== length) {
      throw new TypeError(`read has returned ${bytes.length} bytes where it was asked for ${length}`);
    }
    // It may have given its buffer away, such as to another thread that sends it back full.
    if (into.length !== length) return bytes.slice();
    into.set(bytes);
    return into;
  }
  const count = countIn(value, 'bytesRead');
  if (count === undefined) {
    throw new TypeError(`read has returned ${shown(value)}, and has to return bytes, how many it has read, or nothing`);
  }
  if (count !== length) throw new Error(`read has read ${count} bytes where it was asked for ${length}`);
  const { buffer, buffers = [buffer ?? into] } = value as Partial<Record<'buffer' | 'buffers', unknown>>;
  for (const filled of buffers as readonly Uint8Array[]) {
    if (filled.buffer !== into.buffer) throw new TypeError('read has filled a buffer that is not the one it was given');
  }
  return into;
}

/** Throws if a `write` of `length` bytes says that it has stored another number. Whatever is no count says nothing. */
export function checkWritten(value: unknown, length: number): void {
  const count = countIn(value, 'bytesWritten');
  if (count !== undefined && count !== length) throw new Error(`write has stored ${count} bytes of ${length}`);
}

function holdsBytes(value: unknown): value is ArrayBufferView | ArrayBufferLike {
  return ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value);
}

/** A count as Node's files give it: the number itself, or in an object. */
function countIn(value: unknown, name: 'bytesRead' | 'bytesWritten'): number | undefined {
  const count = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : value;
  return typeof count === 'number' ? count : undefined;
}
