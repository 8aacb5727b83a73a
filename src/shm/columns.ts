/**
 * Shared memory for struct-of-arrays tables.
 *
 * All of it comes from growable SharedArrayBuffers, for two reasons: their memory starts on a page (so O_DIRECT and
 * madvise take it), and it is reserved, not committed, so that a table sized for the worst case costs what is touched.
 * The views have a fixed length: a length-tracking view would be slower on every access.
 */

/** What this thread has reserved so far, for the report of a reservation that fails. */
let reserved = 0;
let told: ((buffer: SharedArrayBuffer) => void) | null = null;

/** Has `listener` hear of each buffer that this thread reserves from here on, in place of the one before; null: nobody. */
export function onReserve(listener: ((buffer: SharedArrayBuffer) => void) | null): void {
  told = listener;
}

/** Reserves `bytes` of zeroed shared memory that starts on a page. Throws RangeError when the address space is full. */
export function reserve(bytes: number): SharedArrayBuffer {
  const size = Math.max(4096, Math.ceil(bytes / 4096) * 4096);
  try {
    const buffer = new SharedArrayBuffer(size, { maxByteLength: size });
    reserved += size;
    told?.(buffer);
    return buffer;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new RangeError(`${error.message}: ${size} bytes after ${reserved}`, { cause: error });
  }
}

export function int32(length: number): Int32Array {
  return new Int32Array(reserve(length * 4), 0, length);
}

/** Words of one part of a wide column: 256 MiB. V8 makes no buffer of more than 4 GiB, and a small one finds room more easily. */
export const PART_SHIFT = 26;
export const PART_WORDS = 2 ** PART_SHIFT;

/** A column that may be longer than a buffer can be: word i is word i % PART_WORDS of part i / PART_WORDS. */
export function wideInt32(length: number): Int32Array[] {
  const parts: Int32Array[] = [];
  for (let left = length; left > 0; left -= PART_WORDS) parts.push(int32(Math.min(left, PART_WORDS)));
  return parts;
}

/** The same of half words. */
export function wideUint16(length: number): Uint16Array[] {
  const parts: Uint16Array[] = [];
  for (let left = length; left > 0; left -= PART_WORDS) parts.push(uint16(Math.min(left, PART_WORDS)));
  return parts;
}

export function uint32(length: number): Uint32Array {
  return new Uint32Array(reserve(length * 4), 0, length);
}

export function uint16(length: number): Uint16Array {
  return new Uint16Array(reserve(length * 2), 0, length);
}

export function uint8(length: number): Uint8Array {
  return new Uint8Array(reserve(length), 0, length);
}

export function float64(length: number): Float64Array {
  return new Float64Array(reserve(length * 8), 0, length);
}
