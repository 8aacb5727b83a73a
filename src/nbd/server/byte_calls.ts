/**
 * The calls of one ByteDevice that have not ended: which may run, and what becomes of them when their connection ends. They
 * are the device's and not a server's: of one that was closed calls may still be under way when the next one begins.
 *
 * Linux sends a timed-out WRITE again over another connection, so an old call that is still under way must not land after a
 * newer one. Nobody can stop what a device has begun; so whatever changes the same bytes waits until it has really ended,
 * even when its own client has long been told that it failed.
 *
 * Invariants:
 * - of two calls that change a common byte at most one runs, and they run in the order in which they came;
 * - a call is answered exactly once: when it has ended, or when its connection has;
 * - whatever a device or its `onError` throws, a call that has ended is over for those that wait for it;
 * - live connections bound their own calls; of those that were given up, at most MAX_GIVEN_UP are still under way and hold
 *   MAX_GIVEN_UP_BYTES, and what connections had that ended when there was still room. A device that has come to that
 *   gets no further call.
 */
import * as wire from '../wire.ts';
import type { ByteDevice } from './byte_device.ts';
import { errnoOf, tell } from './byte_errors.ts';
import { Change, ChangeOrder } from './byte_order.ts';
import { callTurns } from './byte_turns.ts';
import type { ConnectionRequest } from './device.ts';

const MAX_GIVEN_UP = 4096;
const MAX_GIVEN_UP_BYTES = 64 * 1024 * 1024;

interface ByteCall {
  readonly request: ConnectionRequest;
  /** What is changed is [offset, end); nothing, if they are equal. */
  readonly offset: number;
  readonly end: number;
  /** Bytes of memory that it keeps while it runs. */
  readonly bytes: number;
  readonly act: () => unknown;
  /** Called before `answer(0)`, unless its connection has ended; what it throws is the error of the call. */
  readonly finish?: () => void;
  /** Called once, never from inside `begin`. */
  readonly answer: (errno: number) => void;
  /** Is told what the call threw or rejected with. */
  readonly onError: (error: unknown) => void;
}

interface Unfinished extends ByteCall {
  readonly signal: AbortSignal;
  /** Its place among the changes, if it is one. */
  change: Change | null;
  running: boolean;
  /** Its connection has ended. */
  givenUp: boolean;
}

class ByteCalls {
  /** Those that are not answered, of each connection that has not ended. */
  readonly #ofConnection = new WeakMap<AbortSignal, Set<Unfinished>>();
  readonly #order = new ChangeOrder();
  #givenUp = 0;
  #givenUpBytes = 0;

  begin(o: ByteCall): void {
    const { signal } = o.request;
    const full = this.#givenUp >= MAX_GIVEN_UP || this.#givenUpBytes >= MAX_GIVEN_UP_BYTES;
    if (full || signal.aborted) {
      queueMicrotask(() => o.answer(full ? wire.NBD_ENOMEM : wire.NBD_ESHUTDOWN));
      return;
    }
    const call: Unfinished = { ...o, signal, change: null, running: false, givenUp: false };
    this.#callsOf(signal).add(call);
    if (o.offset === o.end) {
      this.#begin(call);
      return;
    }
    call.change = new Change(o.offset, o.end, () => this.#begin(call));
    if (this.#order.add(call.change)) this.#begin(call);
  }

  #callsOf(signal: AbortSignal): Set<Unfinished> {
    let calls = this.#ofConnection.get(signal);
    if (calls === undefined) {
      const all = new Set<Unfinished>();
      calls = all;
      this.#ofConnection.set(signal, all);
      signal.addEventListener('abort', () => this.#abandon(all), { once: true });
    }
    return calls;
  }

  #begin(call: Unfinished): void {
    callTurns.begin(call.signal, () => this.#run(call));
  }

  #run(call: Unfinished): void {
    // Its connection may have ended while it waited for its turn.
    if (call.givenUp) return;
    if (call.request.fenced()) {
      queueMicrotask(() => this.#ended(call, wire.NBD_ESHUTDOWN));
      return;
    }
    call.running = true;
    let result: unknown;
    try {
      result = call.act();
    } catch (error) {
      queueMicrotask(() => this.#failed(call, error));
      return;
    }
    if ((typeof result !== 'object' && typeof result !== 'function') || result === null) {
      queueMicrotask(() => this.#succeeded(call));
      return;
    }
    // Made here, so that no `then` or `constructor` of the device's own can throw at us.
    new Promise((resolve) => resolve(result)).then(
      () => this.#succeeded(call),
      (error: unknown) => this.#failed(call, error),
    );
  }

  #succeeded(call: Unfinished): void {
    try {
      if (!call.givenUp) call.finish?.();
    } catch (error) {
      this.#failed(call, error);
      return;
    }
    this.#ended(call, 0);
  }

  #failed(call: Unfinished, error: unknown): void {
    // What a call says that was told to stop is no news.
    if (!call.givenUp) tell(call.onError, error);
    this.#ended(call, errnoOf(error));
  }

  #ended(call: Unfinished, errno: number): void {
    if (!call.givenUp) {
      this.#ofConnection.get(call.signal)?.delete(call);
      call.answer(errno);
    } else if (call.running) {
      this.#givenUp--;
      this.#givenUpBytes -= call.bytes;
    }
    this.#leave(call);
  }

  /** The connection has ended: what has not begun never does, and what runs is left to itself. */
  #abandon(calls: Set<Unfinished>): void {
    // All of them first: whoever waits for one of them may be another.
    for (const call of calls) call.givenUp = true;
    for (const call of calls) {
      if (call.running) {
        this.#givenUp++;
        this.#givenUpBytes += call.bytes;
      } else {
        this.#leave(call);
      }
      queueMicrotask(() => call.answer(wire.NBD_ESHUTDOWN));
    }
    calls.clear();
  }

  #leave(call: Unfinished): void {
    const { change } = call;
    if (change === null) return;
    call.change = null;
    // What one of them does before it returns may be the end of the next.
    for (const freed of this.#order.remove(change)) freed.begin?.();
  }
}

/** Of every device of this thread that was ever served, for as long as it is there. */
const all = new WeakMap<ByteDevice, ByteCalls>();

export function callsOf(device: ByteDevice): ByteCalls {
  let calls = all.get(device);
  if (calls === undefined) {
    calls = new ByteCalls();
    all.set(device, calls);
  }
  return calls;
}
