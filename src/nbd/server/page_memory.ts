/**
 * Memory that clients' bytes pass through: shared buffers that could grow. Such a one is a mapping of its own that starts on a
 * page, so O_DIRECT can fill it; it is reserved, not touched, so unused pages cost nothing; and views of it are made twice as
 * fast as views of a Buffer.
 */

let told: ((buffer: SharedArrayBuffer) => void) | null = null;

/** Has `listener` hear of each such buffer that this thread makes from here on: to keep it out of core dumps, say. */
export function onPageMemory(listener: (buffer: SharedArrayBuffer) => void): void {
  told = listener;
}

/** Zeroed. */
export function pageMemory(bytes: number): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(bytes, { maxByteLength: bytes });
  told?.(buffer);
  return buffer;
}
