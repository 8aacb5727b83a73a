// In which order test files are run, and how many at once. The smallest machines have two cores, and a file that waits most
// of its time for a timer, ours or the kernel's, would leave one of them idle: such files have a place of their own beside.

/** Files at once that compute. Each has a number, by which the explorer has a processor to itself (test/explore/cells.ts). */
export const COMPUTING = 2;
/** And files beside them that wait. */
export const WAITING_JOBS = 1;

/** Less than half of what they take is processor time, of theirs and of what they start; the longest first. */
export const WAITING: readonly string[] = [
  'image/loop_silent',
  'system/durability/hung_loop',
  'soak/standard',
  'soak/revival',
  'system/durability/stop_deadline',
  'nbd/serve_stall',
  'nbd/serve_gone_stall',
  'nbd/serve_gone',
  'system/fence/stalled_long',
  'server/stranded_pin',
  'server/service_manager',
  'nbd/goodbye_watch',
];

/**
 * No servers. These are run beside the first that wait, which have loop devices that say nothing: each start of a server asks all
 * loop devices of the machine, and waits for those.
 */
const startsNothing = (name: string): boolean => name.startsWith('explore/');

/** What each place runs next: those for files that compute take one that waits when there is no other left. */
export class Order {
  readonly #computing: string[];
  readonly #waiting: string[];

  constructor(names: readonly string[]) {
    this.#waiting = WAITING.filter((name) => names.includes(name));
    const computing = names.filter((name) => !WAITING.includes(name));
    this.#computing = [...computing.filter(startsNothing), ...computing.filter((name) => !startsNothing(name))];
  }

  /** `job`: of the place, from 0 on; undefined when there is nothing left for it. */
  next(job: number): string | undefined {
    return job < COMPUTING ? (this.#computing.shift() ?? this.#waiting.shift()) : this.#waiting.shift();
  }
}
