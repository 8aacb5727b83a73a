/**
 * The calls of one ByteDevice that have not ended: which may run, and what becomes of them when their connection ends.
 *
 * Linux sends a timed-out WRITE again over another connection, so an old call that is still under way must not land after a
 * newer one. Nobody can stop what a device has begun; so whatever changes the same bytes waits until it has really ended,
 * even when its own client has long been told that it failed.
 *
 * Invariants:
 * - of two calls that change a common byte at most one runs, and they run in the order in which they came;
 * - a call is answered exactly once: when it has ended, or when its connection has;
 * - live connections bound their own calls; of those that were given up, at most MAX_GIVEN_UP are still under way, and a
 *   device that has come to that gets no further call.
 */
import * as wire from '../wire.ts';
import type { ConnectionRequest } from './device.ts';

const MAX_GIVEN_UP = 4096;

interface ByteCall {
  readonly request: ConnectionRequest;
  /** What is changed is [offset, end); nothing, if they are equal. */
  readonly offset: number;
  readonly end: number;
  readonly act: () => unknown;
  /** Called once, never from inside `begin`. */
  readonly answer: (errno: number) => void;
}

interface Unfinished extends ByteCall {
  running: boolean;
  givenUp: boolean;
  answered: boolean;
  readonly onAbort: () => void;
}

export class ByteCalls {
  /** In the order in which they came. */
  readonly #calls = new Set<Unfinished>();
  readonly #onError: (error: unknown) => void;
  #waiting = 0;
  #givenUp = 0;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  begin(o: ByteCall): void {
    if (this.#givenUp >= MAX_GIVEN_UP) {
      queueMicrotask(() => o.answer(wire.NBD_ENOMEM));
      return;
    }
    const call: Unfinished = {
      ...o,
      running: false,
      givenUp: false,
      answered: false,
      onAbort: () => this.#abandon(call),
    };
    const { signal } = o.request;
    signal.addEventListener('abort', call.onAbort);
    const blocked = this.#blocked(call);
    this.#calls.add(call);
    if (blocked) this.#waiting++;
    else this.#run(call);
  }

  /** Whether an earlier call changes bytes that this one changes. */
  #blocked(call: Unfinished): boolean {
    if (call.offset === call.end) return false;
    for (const other of this.#calls) {
      if (other === call) return false;
      if (other.offset < call.end && call.offset < other.end) return true;
    }
    return false;
  }

  #run(call: Unfinished): void {
    if (call.request.fenced()) {
      call.request.signal.removeEventListener('abort', call.onAbort);
      this.#remove(call);
      queueMicrotask(() => this.#answer(call, wire.NBD_ESHUTDOWN));
      return;
    }
    call.running = true;
    let result: unknown;
    try {
      result = call.act();
    } catch (error) {
      result = Promise.reject(error);
    }
    Promise.resolve(result).then(
      () => this.#ended(call, 0),
      (error: unknown) => {
        // What a call says that was told to stop is no news.
        if (!call.givenUp) this.#onError(error);
        this.#ended(call, errnoOf(error));
      },
    );
  }

  #ended(call: Unfinished, errno: number): void {
    if (call.givenUp) this.#givenUp--;
    this.#remove(call);
    this.#answer(call, errno);
  }

  /** The connection has ended: what has not begun never does, and what runs is left to itself. */
  #abandon(call: Unfinished): void {
    if (call.running) {
      call.givenUp = true;
      this.#givenUp++;
    } else {
      this.#waiting--;
      this.#remove(call);
    }
    queueMicrotask(() => this.#answer(call, wire.NBD_ESHUTDOWN));
  }

  #answer(call: Unfinished, errno: number): void {
    if (call.answered) return;
    call.answered = true;
    call.request.signal.removeEventListener('abort', call.onAbort);
    call.answer(errno);
  }

  #remove(call: Unfinished): void {
    this.#calls.delete(call);
    if (this.#waiting === 0) return;
    for (const other of this.#calls) {
      if (other.running || this.#blocked(other)) continue;
      this.#waiting--;
      this.#run(other);
    }
  }
}

/** By the names that Node gives to errors of the system. */
const ERRORS: Readonly<Record<string, number>> = {
  EPERM: wire.NBD_EPERM,
  EACCES: wire.NBD_EPERM,
  EROFS: wire.NBD_EPERM,
  ENOMEM: wire.NBD_ENOMEM,
  EINVAL: wire.NBD_EINVAL,
  ENOSPC: wire.NBD_ENOSPC,
  EDQUOT: wire.NBD_ENOSPC,
  EFBIG: wire.NBD_ENOSPC,
  EOVERFLOW: wire.NBD_EOVERFLOW,
  ENOTSUP: wire.NBD_ENOTSUP,
  EOPNOTSUPP: wire.NBD_ENOTSUP,
  ESHUTDOWN: wire.NBD_ESHUTDOWN,
};

function errnoOf(error: unknown): number {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return (typeof code === 'string' ? ERRORS[code] : undefined) ?? wire.NBD_EIO;
}
