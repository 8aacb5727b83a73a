/** The C library, through koffi, and how its calls are answered here. */
import koffi from 'koffi';

export const libc = koffi.load('libc.so.6');

/** What a call has returned: >= 0, or -errno. To be asked at once, because the next call of this thread changes that. */
export function result(value: number): number {
  return value < 0 ? -koffi.errno() : value;
}
