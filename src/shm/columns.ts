/**
 * Shared memory for struct-of-arrays tables.
 *
 * All of it comes from growable SharedArrayBuffers, for two reasons: their memory starts on a page (so O_DIRECT and
 * madvise take it), and it is reserved, not committed, so that a table sized for the worst case costs what is touched.
 * The views have a fixed length: a length-tracking view would be slower on every access.
 */

/** Reserves `bytes` of zeroed shared memory that starts on a page. Throws RangeError when the address space is full. */
export function reserve(bytes: number): SharedArrayBuffer {
  const size = Math.max(4096, Math.ceil(bytes / 4096) * 4096);
  return new SharedArrayBuffer(size, { maxByteLength: size });
}

export function int32(length: number): Int32Array {
  return new Int32Array(reserve(length * 4), 0, length);
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
