/** The clock that all threads of the process share: microseconds, monotonic, with an origin that means nothing. */

/** Looks at both clocks; a thread that is stopped between two has another chance. */
const LOOKS = 8;

/**
 * performance.now() begins anew in each thread; both it and this are the system's monotonic clock. What passes between the two
 * looks makes the thread's clock fast, and the first of each takes milliseconds: the least of several is the origin.
 */
const ORIGIN = Math.min(...Array.from({ length: LOOKS }, () => -performance.now() * 1000 + hrtimeMicros()));

function hrtimeMicros(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1000;
}

/** What an explorer puts in its place, whose runs have to be repeatable. */
let source: (() => number) | null = null;

export function setClock(clock: (() => number) | null): void {
  source = clock;
}

/** How far a fault plan has this thread's clock jump ahead. */
let jump = 0;

export function jumpClock(micros: number): void {
  jump = micros;
}

export function nowMicros(): number {
  return source === null ? ORIGIN + jump + performance.now() * 1000 : source();
}

/** The same clock, which nobody makes jump, in milliseconds. */
export function steadyMillis(): number {
  return ORIGIN / 1000 + performance.now();
}
