/** The clock that strace writes its times by. Node's own begins anew with the process, and is set by another one. */
import { libc } from '#src/os/libc.js';

const CLOCK_REALTIME = 0;
const gettime = libc.func('int clock_gettime(int clock, _Out_ uint8_t *into)');
const into = new BigInt64Array(2);
const bytes = new Uint8Array(into.buffer);

/** In µs. */
export function realTime(): number {
  gettime(CLOCK_REALTIME, bytes);
  return Number(into[0]) * 1e6 + Number(into[1]) / 1e3;
}
