/** The clock that all threads of the process share: microseconds, monotonic, with an origin that means nothing. */

/** performance.now() begins anew in each thread; both it and this are the system's monotonic clock. */
const ORIGIN = hrtimeMicros() - performance.now() * 1000;

function hrtimeMicros(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1000;
}

/** What an explorer puts in its place, whose runs have to be repeatable. */
let source: (() => number) | null = null;

export function setClock(clock: (() => number) | null): void {
  source = clock;
}

export function nowMicros(): number {
  return source === null ? ORIGIN + performance.now() * 1000 : source();
}
