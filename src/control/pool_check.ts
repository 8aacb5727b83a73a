/**
 * GET /check: whether anything leaked. Waits a moment for quiescence; where requests or writebacks go on, it says so and
 * gives no verdict, because sums over a pool that moves mean nothing. A run takes turns with all else that the main thread
 * does: a large pool takes seconds, and service managers have watchdogs.
 */
import { type Busy, busy } from '../pool/busy.ts';
import { checkPool, disagreements } from '../pool/check.ts';
import type { Shared } from '../pool/shared.ts';
import { stamp } from '../zswap/counters.ts';

const PATIENCE_MS = 2500;
/** Of the main thread at a time. */
const TURN_MS = 2;
const AGAIN_MS = 50;

/** `patienceMs`: how long to wait for quiescence. */
export async function poolCheck(shared: Shared, patienceMs = PATIENCE_MS): Promise<object> {
  const deadline = performance.now() + patienceMs;
  for (let moved = false; ; ) {
    const before = stamp(shared);
    const then = busy(shared);
    if (isIdle(then)) {
      const check = await inTurns(checkPool(shared));
      if (check !== null && isIdle(busy(shared)) && stamp(shared) === before) {
        const { exports, ...rest } = check;
        const { settings } = shared;
        const problems = disagreements(check, settings);
        return {
          quiescent: true,
          ok: problems.length === 0,
          problems,
          ...rest,
          exports: exports.map((one, x) => ({ name: settings.exports[x].name, ...one })),
        };
      }
      moved = true;
    }
    if (performance.now() >= deadline) return { quiescent: false, ok: false, problems: [], moved, busy: then };
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

async function inTurns<T>(run: Generator<undefined, T>): Promise<T> {
  for (let began = performance.now(); ; ) {
    const { done, value } = run.next();
    if (done === true) return value;
    if (performance.now() - began < TURN_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    began = performance.now();
  }
}

/**
 * The same for however many ask: those who ask before a run begins share it, and after each the main thread is left alone for
 * as long as that took. A run takes most of it for seconds where the pool is large, and requests can be pipelined by the thousand.
 */
export function shareRuns<T>(run: () => Promise<T>): () => Promise<T> {
  let next: Promise<T> | null = null;
  let restUntil = 0;
  const begin = async (): Promise<T> => {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, restUntil - performance.now())));
    next = null;
    const began = performance.now();
    try {
      return await run();
    } finally {
      restUntil = 2 * performance.now() - began;
    }
  };
  return () => {
    next ??= begin();
    return next;
  };
}

function isIdle(now: Busy): boolean {
  return Object.values(now).every((count) => count === 0);
}
