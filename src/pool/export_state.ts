/**
 * The state of an export: one word of shared memory each, and one table of what each state answers. Whoever has to know
 * whether an export can be read, written, written back, swapped off or stopped asks the table, and nothing else.
 *
 *   serving -- swapoff --> swapping off, with --keep: keeping -- trees freed --> punching --> off
 *                             (an image that fails before the first discard: back to serving)
 *   off -- swapon --> swapping on --> serving
 *   off -- swapoff, of what the image would not forget --> punching --> off
 *   serving -- stop --> stopping -- no connection left --> draining -- on the image --> ended
 *   off -- stop --> ended                        a verb that runs is waited for, and the stop goes on from what it left
 *
 *   state          READ           WRITE, TRIM  FLUSH           writeback  swapoff      swapon       stop
 *   -------------  -------------  -----------  --------------  ---------  -----------  -----------  ---------------
 *   serving        pool or image  taken        clean and sync  yes        begins       refused      -> stopping
 *   keeping        pool or image  ESHUTDOWN    clean and sync  yes        refused      refused      waits
 *   swapping off   pool or image  ESHUTDOWN    clean and sync  yes        refused      refused      waits
 *   punching       image          ESHUTDOWN    punch and sync  no         refused      refused      waits
 *   off            image          ESHUTDOWN    sync            no         (punches)    begins       -> ended
 *   swapping on    image          ESHUTDOWN    sync            no         refused      refused      waits
 *   stopping       pool or image  taken        clean and sync  yes        refused      refused      (it runs)
 *   draining       pool or image  ESHUTDOWN    clean and sync  no         refused      refused      (it runs)
 *   ended          image          ESHUTDOWN    sync            no         refused      refused      (it has run)
 *
 * One owner: the main thread alone changes the word (in an explorer the actor that swaps off). The others read it, and what
 * they read stays true only as long as they hold a pin or a range claim that they had before they asked:
 *   1. writeback copies the number of a slot   2. swapoff frees the trees, stores `punching` and gives its claim back
 *   3. writeback pins, because the slot is still in use (slot 0; with --keep every slot)   4. asked now, it is told that there are no trees
 * Asked before the pin, it could be told `swapping off` in step 1. So: pin or claim first, then ask. Nobody who was told that
 * there are trees can lose them before he drops his pin: swapoff claims the whole export and waits for every pin first.
 */
import * as sync from '../shm/sync.ts';

export const STATE = {
  SERVING: 0,
  KEEPING: 1,
  SWAPPING_OFF: 2,
  PUNCHING: 3,
  OFF: 4,
  SWAPPING_ON: 5,
  STOPPING: 6,
  DRAINING: 7,
  ENDED: 8,
} as const;
export type State = (typeof STATE)[keyof typeof STATE];

interface Row {
  /** As stats and refusals call it. */
  readonly name: string;
  /** There are trees: READ looks into the pool, FLUSH and drain clean what is in it. Without: the image has everything. */
  readonly trees: boolean;
  /** WRITE, TRIM and WRITE_ZEROES are taken. */
  readonly writes: boolean;
  /** Pages may leave the pool by writeback. */
  readonly writeback: boolean;
  /** A control verb is at work. */
  readonly verb: boolean;
  /** Why a verb is refused, after the name of the export; null: it begins. */
  readonly swapoff: string | null;
  readonly swapon: string | null;
  /** What the stop makes of it; null: a verb runs, or the stop itself has been here. */
  readonly stop: State | null;
}

const OFF_RUNS = 'is being swapped off, allowed: when that has ended';
const ON_RUNS = 'is being swapped on, allowed: when that has ended';
const STOPS = 'is not available any more: the server is stopping';
const served = { trees: true, writes: true, writeback: true, verb: false };
const leaving = { trees: true, writes: false, writeback: true, verb: true, swapoff: OFF_RUNS, swapon: OFF_RUNS };
const gone = { trees: false, writes: false, writeback: false, verb: false };
const stopped = { swapoff: STOPS, swapon: STOPS, stop: null };

/** In the order of STATE. */
export const TABLE: readonly Row[] = [
  { name: 'on', ...served, swapoff: null, swapon: 'is not swapped off', stop: STATE.STOPPING },
  { name: 'keeping', ...leaving, stop: null },
  { name: 'closing', ...leaving, stop: null },
  { name: 'punching', ...gone, verb: true, swapoff: OFF_RUNS, swapon: OFF_RUNS, stop: null },
  { name: 'off', ...gone, swapoff: 'is swapped off already', swapon: null, stop: STATE.ENDED },
  { name: 'opening', ...gone, verb: true, swapoff: ON_RUNS, swapon: ON_RUNS, stop: null },
  { name: 'stopping', ...served, ...stopped },
  { name: 'draining', ...served, writes: false, writeback: false, ...stopped },
  { name: 'ended', ...gone, ...stopped },
];

/** The changes that there are. */
const NEXT: Readonly<Record<State, readonly State[]>> = {
  [STATE.SERVING]: [STATE.KEEPING, STATE.SWAPPING_OFF, STATE.STOPPING],
  [STATE.KEEPING]: [STATE.SERVING, STATE.PUNCHING],
  [STATE.SWAPPING_OFF]: [STATE.SERVING, STATE.PUNCHING],
  [STATE.PUNCHING]: [STATE.OFF],
  [STATE.OFF]: [STATE.SWAPPING_ON, STATE.PUNCHING, STATE.ENDED],
  [STATE.SWAPPING_ON]: [STATE.SERVING],
  [STATE.STOPPING]: [STATE.DRAINING],
  [STATE.DRAINING]: [STATE.ENDED],
  [STATE.ENDED]: [],
};

/** One bit per state, because WRITE and READ ask for each page. */
const maskOf = (holds: (row: Row) => boolean): number =>
  TABLE.reduce((mask, row, state) => mask | (holds(row) ? 1 << state : 0), 0);
const TREES = maskOf((row) => row.trees);
const WRITES = maskOf((row) => row.writes);
const WRITEBACK = maskOf((row) => row.writeback);
const VERB = maskOf((row) => row.verb);

export function stateOf(states: Int32Array, x: number): State {
  return sync.load(states, x) as State;
}

/** There is something of the export in the pool, or there may be. Asked under a pin, which then keeps the trees. */
export function hasTrees(states: Int32Array, x: number): boolean {
  return ((TREES >>> sync.load(states, x)) & 1) === 1;
}

/** WRITE, TRIM and WRITE_ZEROES are taken. Asked under a pin or a claim, which swapoff waits for. */
export function takesWrites(states: Int32Array, x: number): boolean {
  return ((WRITES >>> sync.load(states, x)) & 1) === 1;
}

/** Its pages may leave the pool by writeback. Asked under the pin of the page. */
export function mayWriteBack(states: Int32Array, x: number): boolean {
  return ((WRITEBACK >>> sync.load(states, x)) & 1) === 1;
}

/** A control verb is at work on the export. */
export function runsVerb(states: Int32Array, x: number): boolean {
  return ((VERB >>> sync.load(states, x)) & 1) === 1;
}

/** Changes the state; its owner alone may. A change that is not in the picture above is a defect of ours, and throws. */
export function enter(states: Int32Array, x: number, to: State): void {
  const from = stateOf(states, x);
  if (!NEXT[from].includes(to)) throw new Error(`export ${x} can't go from ${TABLE[from].name} to ${TABLE[to].name}`);
  sync.store(states, x, to);
}
