/**
 * The synchronisation façade: the one file that may name `Atomics`.
 *
 * Every lock, compare-and-swap, lockless load or store of shared state and every numbered protocol step goes through it.
 * In service each costs one predictable branch on `hook`. Under an explorer the hook takes over: it decides which thread
 * moves next, so that the code explored is the code served.
 *
 * Lock order everywhere: pin -> tree.lock -> lru.lock (a memcg's before its parent's) -> allocator (class lock -> stock of pages). A slot record's bucket
 * lock, the buffer lock and the ring locks are leaves: nothing is taken while one is held.
 *
 * A lock word holds 0 when free, else the owner's thread id, with WAITERS set while somebody may sleep on it. The owner
 * stands in the word so that a thread that waits too long can name who holds it.
 */
import { COLUMNS } from './counters.ts';
import { WAITS } from './waits.ts';

/** What an explorer puts in place of real time. Each method is a scheduling point. */
export interface Hook {
  point(op: string, words: Int32Array | null, index: number): void;
  lock(words: Int32Array, index: number): void;
  tryLock(words: Int32Array, index: number): boolean;
  unlock(words: Int32Array, index: number): void;
  retry(words: Int32Array, index: number, seen: number): void;
  /** What follows is plain access that this lock protects. */
  held?(words: Int32Array, index: number): void;
  /** The protocol looked at one of its switches: what decides whether two combinations are the same to a scenario. */
  consult?(name: string): void;
}

const WAITERS = 0x10000;
const SPIN_LIMIT = 64;
/**
 * Longest wait for a lock or a retry, in milliseconds, before the process is stopped as wedged. It is the sum of the sleeps
 * that were asked for, and not a time of day: a machine that was paused for a minute has not waited for anybody.
 */
export const STUCK_MS = 5000;
const SLICE_MS = 500;

let hook: Hook | null = null;
let self = 1;
let onStuck: (report: string) => never = (report) => {
  throw new Error(report);
};
let stuckMs = STUCK_MS;
/** Microseconds to stall at a named protocol step (`debug.delay`), and who else is told of each; null in ordinary service. */
let delays: ReadonlyMap<string, number> | null = null;
let watcher: ((label: string) => void) | null = null;
let watched = false;
/** The step that this thread passed last, for the report of a wait that does not end. */
let currentStep = '';
const sleepWord = new Int32Array(new SharedArrayBuffer(4));

/** Names this thread (1..65535) to lock words, and says what to do when a wait exceeds `bound` milliseconds. */
export function enterThread(id: number, stuck: (report: string) => never, bound = STUCK_MS): void {
  self = id;
  onStuck = stuck;
  stuckMs = bound;
}

/** Where this thread counts its waits: its counter row, once it has one. */
let waits: Float64Array = new Float64Array(COLUMNS);

export function countWaits(row: Float64Array): void {
  waits = row;
}

/** What lock words and waited-for words are called in reports; with `owners`, the bits of a word that name its owner. */
const names = new WeakMap<Int32Array, { readonly name: string; readonly owners: number }>();

export function nameWords(words: Int32Array, name: string, owners = 0): void {
  names.set(words, { name, owners });
}

/** What a defect found at run time does: throws, which stops the process; an explorer puts its own report here. */
let onViolation: (kind: string, text: string) => never = (kind, text) => {
  throw new Error(`${kind}: ${text}`);
};

export function setViolation(report: (kind: string, text: string) => never): void {
  onViolation = report;
}

/** Reports a use after free, a double free or a broken assertion. Never silent, and does not return. */
export function violation(kind: string, text: string): never {
  onViolation(kind, text);
}

/** Notes that the outcome may depend on the switch `name`. */
export function consult(name: string): void {
  if (hook !== null) hook.consult?.(name);
}

export function setHook(value: Hook | null): void {
  hook = value;
}

export function setDelays(value: Readonly<Record<string, number>> | null): void {
  const entries = value === null ? [] : Object.entries(value);
  delays = entries.length === 0 ? null : new Map(entries);
  watched = delays !== null || watcher !== null;
}

/** Has `told` hear of each step that this thread passes; null: nobody. */
export function watchSteps(told: ((label: string) => void) | null): void {
  watcher = told;
  watched = delays !== null || watcher !== null;
}

export function load(words: Int32Array, index: number): number {
  if (hook !== null) hook.point('load', words, index);
  return Atomics.load(words, index);
}

export function store(words: Int32Array, index: number, value: number): void {
  if (hook !== null) hook.point('store', words, index);
  Atomics.store(words, index, value);
}

export function add(words: Int32Array, index: number, value: number): number {
  if (hook !== null) hook.point('add', words, index);
  return Atomics.add(words, index, value);
}

export function or(words: Int32Array, index: number, value: number): number {
  if (hook !== null) hook.point('or', words, index);
  return Atomics.or(words, index, value);
}

export function and(words: Int32Array, index: number, value: number): number {
  if (hook !== null) hook.point('and', words, index);
  return Atomics.and(words, index, value);
}

export function exchange(words: Int32Array, index: number, value: number): number {
  if (hook !== null) hook.point('exchange', words, index);
  return Atomics.exchange(words, index, value);
}

/** Compare-and-swap; returns the value that was found. */
export function cas(words: Int32Array, index: number, expected: number, value: number): number {
  if (hook !== null) hook.point('cas', words, index);
  return Atomics.compareExchange(words, index, expected, value);
}

export function lock(words: Int32Array, index: number): void {
  if (hook !== null) {
    hook.lock(words, index);
    return;
  }
  if (Atomics.compareExchange(words, index, 0, self) !== 0) lockSlow(words, index);
}

export function tryLock(words: Int32Array, index: number): boolean {
  if (hook !== null) return hook.tryLock(words, index);
  return Atomics.compareExchange(words, index, 0, self) === 0;
}

export function unlock(words: Int32Array, index: number): void {
  if (hook !== null) {
    hook.unlock(words, index);
    return;
  }
  if ((Atomics.exchange(words, index, 0) & WAITERS) !== 0) Atomics.notify(words, index, 1);
}

/** Says that this thread holds the lock, because what follows is plain. An explorer checks it; in service it is a comment. */
export function held(words: Int32Array, index: number): void {
  if (hook !== null) hook.held?.(words, index);
}

function lockSlow(words: Int32Array, index: number): void {
  const since = performance.now();
  waits[WAITS.lock_waits]++;
  if (!lockSpinning(words, index)) lockAsleep(words, index);
  waits[WAITS.lock_wait_ms] += performance.now() - since;
}

function lockSpinning(words: Int32Array, index: number): boolean {
  for (let spin = 0; spin < SPIN_LIMIT; spin++) {
    waits[WAITS.spins]++;
    if (Atomics.load(words, index) === 0 && Atomics.compareExchange(words, index, 0, self) === 0) return true;
  }
  return false;
}

function lockAsleep(words: Int32Array, index: number): void {
  for (let waited = 0; ; ) {
    const seen = Atomics.load(words, index);
    if (seen === 0) {
      // We can't know whether others still sleep, so we take the lock with WAITERS set; one spare notify is harmless.
      if (Atomics.compareExchange(words, index, 0, self | WAITERS) === 0) return;
      continue;
    }
    const marked = seen | WAITERS;
    if (seen !== marked && Atomics.compareExchange(words, index, seen, marked) !== seen) continue;
    if (Atomics.wait(words, index, marked, SLICE_MS) !== 'timed-out') continue;
    waited += SLICE_MS;
    if (waited >= stuckMs)
      stuck(`${names.get(words)?.name ?? 'lock'} word ${index} is held by thread ${seen & ~WAITERS}`);
  }
}

/** Waits until words[index] is no longer `seen`. Every retry loop passes here, so that none can spin unseen. */
export function retry(words: Int32Array, index: number, seen: number): void {
  if (hook !== null) {
    hook.retry(words, index, seen);
    return;
  }
  waits[WAITS.retries]++;
  for (let spin = 0; spin < SPIN_LIMIT; spin++) {
    if (Atomics.load(words, index) !== seen) return;
    waits[WAITS.spins]++;
  }
  for (let waited = 0; Atomics.load(words, index) === seen; waited++) {
    // Whoever changes the word need not know of us, so the wait is short and looks again.
    Atomics.wait(words, index, seen, 1);
    if (waited >= stuckMs) stuck(describeRetry(words, index, seen));
  }
}

function describeRetry(words: Int32Array, index: number, seen: number): string {
  const { name = '', owners = 0 } = names.get(words) ?? {};
  const owner = seen & owners;
  return `${name} word ${index} stays ${seen}${owner === 0 ? '' : `, held by thread ${owner}`}`.trimStart();
}

/** A numbered step of a protocol, such as 'W1': a scheduling point, and the place where `debug.delay` stalls. */
export function step(label: string): void {
  if (hook !== null) hook.point(label, null, 0);
  currentStep = label;
  if (!watched) return;
  watcher?.(label);
  const us = delays?.get(label);
  if (us !== undefined) Atomics.wait(sleepWord, 0, 0, us / 1000);
}

/**
 * Operations that no hook sees: for an explorer's own words (whose turn it is), which must not be scheduling points
 * themselves.
 */
export const unhooked = {
  load: (words: Int32Array, index: number): number => Atomics.load(words, index),
  store: (words: Int32Array, index: number, value: number): void => {
    Atomics.store(words, index, value);
  },
  add: (words: Int32Array, index: number, value: number): number => Atomics.add(words, index, value),
};

/** Sleeps until words[index] changes from `seen` or the time is over. Only for threads that have nothing to serve. */
export function sleep(words: Int32Array, index: number, seen: number, ms: number): void {
  Atomics.wait(words, index, seen, ms);
}

export function notify(words: Int32Array, index: number): void {
  Atomics.notify(words, index);
}

/** As sleep, but leaves the event loop running: resolves when the word changes or after `ms`. */
export async function changed(words: Int32Array, index: number, seen: number, ms: number): Promise<void> {
  const wait = Atomics.waitAsync(words, index, seen, ms);
  if (wait.async) await wait.value;
}

function stuck(what: string): never {
  onStuck(`thread ${self} waited ${stuckMs} ms: ${what}${currentStep === '' ? '' : `; last step ${currentStep}`}`);
}
