/**
 * How much one connection may do in one turn of its thread's event loop, measured by what the work costs.
 *
 * A turn lasts as long as all connections of the thread take together, and each of them waits for it. Counting requests
 * would not do: one that scans a million blocks costs as much as a hundred that store one.
 *
 * Connections that have work for more than one turn share what a turn takes together, but for what each has at least: with
 * many of them a turn of each would keep the others waiting for as many times as long.
 *
 * Invariants:
 * - work is charged when it is done, so what was begun is not cut, and its excess is paid with the next turns;
 * - a connection whose budget is spent asks for another turn, so it always goes on.
 */

/** Units that a connection has in a turn, at most and at least. A unit is about a microsecond. */
const TURN_UNITS = 512;
const TURN_UNITS_MIN = 64;
/** Units of all connections that have asked for another turn. */
const SHARED_UNITS = 2 * TURN_UNITS;
/** To look at a request and to answer it. */
export const REQUEST_UNITS = 1;
/** To compress, or to decompress, and to copy a block. */
export const BLOCK_UNITS = 8;
/** Bytes from the kernel, or from one buffer to another, for a unit. */
const BYTES_PER_UNIT = 4096;
/** Blocks whose status a device looks at for a unit, if they are alike. */
const SCANNED_PER_UNIT = 4096;
/** Runs of blocks that are alike for a unit. */
const RUNS_PER_UNIT = 4;

/** Connections of this thread that have asked for a turn, and had none since. */
let asking = 0;

export class TurnBudget {
  #left = TURN_UNITS;

  /** Whether the rest has to wait for the next turn. */
  get spent(): boolean {
    return this.#left <= 0;
  }

  spend(units: number): void {
    this.#left -= units;
  }

  /** Charges for `bytes` from the kernel. */
  received(bytes: number): void {
    this.#left -= bytes / BYTES_PER_UNIT;
  }

  /** Charges for `bytes` that go from one buffer to another. */
  copied(bytes: number): void {
    this.#left -= bytes / BYTES_PER_UNIT;
  }

  /** Charges for a look at the status of `blocks`, which were `runs` runs. */
  scanned(blocks: number, runs: number): void {
    this.#left -= blocks / SCANNED_PER_UNIT + runs / RUNS_PER_UNIT;
  }

  /** Another turn is asked for; it begins with `begin`. */
  ask(): void {
    asking++;
  }

  /** The turn that was asked for has begun. */
  begin(): void {
    this.renew();
    asking--;
  }

  /** A new turn has begun. */
  renew(): void {
    const units = asking <= 2 ? TURN_UNITS : Math.max(TURN_UNITS_MIN, SHARED_UNITS / asking);
    this.#left = Math.min(units, this.#left + units);
  }
}
