/**
 * Puts what was injected beside what the client saw. Each injection ends as one of
 * - detected: the client got an error at that slot, or lost its connection then, or a counter of the server's own says so;
 * - tolerated: the client saw nothing of it, and what it read was right; or the page was overwritten before it was read;
 * - unaccounted: it must be tolerated and was not, or it must be detected and nobody can tell what became of it.
 * And each error of the client is explained by an injection that may have caused it, or is unaccounted: a must-tolerate fault
 * explains none. Wrong bytes are no part of this: no fault explains them.
 */
import type { FaultEvent, FaultRow } from './fault_watch.ts';
import type { Trouble } from './ledger.ts';

/** Between the clocks of server and client, and between an injection and what the client gets of it. */
const SLACK_MS = 1500;

interface Accounted extends FaultRow {
  readonly detected: number;
  readonly tolerated: number;
  readonly unaccounted: number;
  /** Injections that no event tells of, because they were lost. */
  readonly untold: number;
}

export interface Accounts {
  readonly rows: readonly Accounted[];
  /** Errors of the client that no fault explains, the first few of them, and how many. */
  readonly unexplained: readonly Trouble[];
  readonly unexplainedCount: number;
  readonly unaccounted: number;
}

interface Evidence {
  readonly faults: readonly FaultRow[];
  readonly events: readonly FaultEvent[];
  /** Events of a fault that were told, and are not among them. */
  readonly forgotten: (id: string) => number;
  readonly troubles: readonly Trouble[];
  /** Per slot: when it was last refused, changed, and shown to be right. 0: never. */
  readonly seen: { readonly errorMs: Float64Array; readonly changedMs: Float64Array; readonly rightMs: Float64Array };
  /** When there was no server, because of a fault: connections are lost and refused then. */
  readonly outages: readonly { readonly id: string; readonly fromMs: number; readonly toMs: number }[];
  /** By how much a counter of the server has grown. */
  readonly counted: (name: string) => number;
}

/** The server's own counters that a fault at a site moves. */
const COUNTERS: Readonly<Record<string, readonly string[]>> = {
  'pool.allocate': ['reject_alloc_fail'],
  'pool.compress': ['reject_compress_fail', 'reject_compress_poor'],
  'pool.decompress': ['decompress_fail', 'checksum_mismatch'],
  'pool.object': ['checksum_mismatch', 'decompress_fail'],
  'pool.entry': ['checksum_mismatch', 'decompress_fail'],
  'pool.tree': ['checksum_mismatch', 'decompress_fail'],
  'image.read': ['image_read_errors', 'checksum_mismatch'],
  'image.write': ['image_write_errors', 'writeback_failed', 'checksum_mismatch'],
  'image.punch': ['image_punch_errors'],
  'image.sync': ['image_sync_errors'],
};
/** Errors that a fault of pool, image or process may come to; any other one is ours. */
const CODES: ReadonlySet<string> = new Set(['EIO', 'ENOSPC', 'ENOMEM', 'ESHUTDOWN']);
/** What goes on until it is cleared, and has no end in time before that. */
const LASTING: ReadonlySet<string> = new Set(['hang', 'exhaust']);
const UNEXPLAINED_SHOWN = 200;

interface Told extends FaultEvent {
  readonly fault: FaultRow;
  detected: boolean;
}

export class Accounting {
  readonly #evidence: Evidence;
  readonly #bySlot = new Map<number, Told[]>();
  readonly #told: Told[] = [];
  /** Of those, what reaches beyond the slot that it names, or names none. */
  readonly #wide: Told[];

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
    const faults = new Map(evidence.faults.map((row) => [row.id, row]));
    for (const event of evidence.events) {
      const fault = faults.get(event.id);
      if (fault === undefined) continue;
      const told = { ...event, fault, detected: false };
      this.#told.push(told);
      for (let slot = event.slot; event.slot >= 0 && slot < event.slot + event.count; slot++) {
        const list = this.#bySlot.get(slot);
        if (list === undefined) this.#bySlot.set(slot, [told]);
        else list.push(told);
      }
    }
    this.#told.sort((a, b) => a.ms - b.ms);
    this.#wide = this.#told.filter(({ slot, fault }) => slot < 0 || isSpoiling(fault));
  }

  /** Whether a slot that can't be read was damaged, since it was changed, by a fault that may do that. */
  explainsLoss(slot: number, changedMs: number): boolean {
    const damages = ({ fault, ms }: Told): boolean => mayShow(fault) && ms >= changedMs - SLACK_MS;
    return (this.#bySlot.get(slot) ?? []).some(damages) || this.#spoiled();
  }

  close(): Accounts {
    const blamed = new Map<string, number>();
    const unexplained: Trouble[] = [];
    let unexplainedCount = 0;
    for (const trouble of this.#evidence.troubles) {
      const causes = this.#causes(trouble);
      const cause = causes.find(({ fault }) => mayShow(fault));
      if (cause !== undefined) {
        cause.detected = true;
      } else if (causes.length > 0) {
        blamed.set(causes[0].id, (blamed.get(causes[0].id) ?? 0) + 1);
      } else {
        unexplainedCount++;
        if (unexplained.length < UNEXPLAINED_SHOWN) unexplained.push(trouble);
      }
    }
    const counters = new Map<string, number>();
    const rows = this.#evidence.faults.map((fault) => this.#row(fault, blamed.get(fault.id) ?? 0, counters));
    const unaccounted = rows.reduce((sum, row) => sum + row.unaccounted, unexplainedCount);
    return { rows, unexplained, unexplainedCount, unaccounted };
  }

  #causes(trouble: Trouble): Told[] {
    const early = trouble.beganMs - SLACK_MS;
    const late = trouble.endedMs + SLACK_MS;
    if (trouble.is === 'request' && trouble.count > 0) return this.#causesOfRequest(trouble, late);
    const { endedMs } = trouble;
    const outage = this.#evidence.outages.find(({ fromMs, toMs }) => endedMs >= fromMs && endedMs <= toMs);
    if (outage !== undefined) return this.#told.filter(({ id }) => id === outage.id);
    return this.#told.filter(({ fault, ms }) => {
      if (ms > late) return false;
      // A FLUSH takes whatever is owed out of the pool, writes and syncs it, and stays refused once a sync has failed.
      if (trouble.is === 'request')
        return /^(?:image|pool)\./.test(fault.site) || (fault.site === 'wire.reply' && ms >= early);
      if (LASTING.has(fault.action)) return true;
      const ends = /^(?:wire|process)\./.test(fault.site) || fault.action === 'latency' || fault.action === 'stall';
      return ends && ms >= early;
    });
  }

  #causesOfRequest(trouble: Trouble, late: number): Told[] {
    const early = trouble.beganMs - SLACK_MS;
    const causes: Told[] = [];
    for (let slot = trouble.slot; slot < trouble.slot + trouble.count; slot++) {
      for (const told of this.#bySlot.get(slot) ?? []) {
        const isWire = told.fault.site.startsWith('wire.');
        const from = isWire ? early : trouble.sinceMs - SLACK_MS;
        if (told.ms <= late && told.ms >= from && (isWire || CODES.has(trouble.code))) causes.push(told);
      }
    }
    if (causes.some(({ fault }) => mayShow(fault)) || !CODES.has(trouble.code)) return causes;
    const wide = this.#wide.find(({ fault, ms, slot }) => {
      if (ms > late || !mayShow(fault)) return false;
      return isSpoiling(fault) || (slot < 0 && (ms >= early || LASTING.has(fault.action)));
    });
    return wide === undefined ? causes : [...causes, wide];
  }

  #spoiled(): boolean {
    return this.#wide.some(({ fault }) => mayShow(fault) && isSpoiling(fault));
  }

  #row(fault: FaultRow, blamed: number, counters: Map<string, number>): Accounted {
    const told = this.#told.filter(({ id }) => id === fault.id);
    const untold = Math.max(0, fault.injected - told.length - this.#evidence.forgotten(fault.id));
    const isStrict = fault.class === 'must-tolerate';
    const outcomes = isStrict ? [] : told.map((event) => (event.detected ? 'detected' : this.#outcome(event)));
    const open = outcomes.filter((outcome) => outcome === 'open').length;
    const counted = this.#takeCounted(fault.site, open, counters);
    // A misdirected write is two events, of where it was meant to go and where it went, and one injection.
    const seen = outcomes.filter((outcome) => outcome === 'detected').length + counted;
    const detected = Math.min(fault.injected, seen);
    const unaccounted = blamed + (fault.class === 'must-detect' ? open - counted : 0);
    const tolerated = Math.max(0, fault.injected - untold - detected - unaccounted);
    return { ...fault, detected, tolerated, unaccounted, untold };
  }

  #outcome({ slot, count, ms, fault }: Told): 'detected' | 'tolerated' | 'open' {
    const { errorMs, changedMs, rightMs } = this.#evidence.seen;
    // What a wire fault leaves of a connection is seen by its end; a client that has its answers has lost nothing.
    if (slot < 0) return /^(?:wire|process)\./.test(fault.site) ? 'tolerated' : 'open';
    const slots = Array.from({ length: Math.max(0, Math.min(count, errorMs.length - slot)) }, (_, i) => slot + i);
    if (slots.some((one) => errorMs[one] >= ms - SLACK_MS)) return 'detected';
    return slots.every((one) => changedMs[one] >= ms || rightMs[one] >= ms) ? 'tolerated' : 'open';
  }

  /** Counts that nobody has taken yet of the counters of a site. */
  #takeCounted(site: string, open: number, taken: Map<string, number>): number {
    let left = open;
    for (const name of COUNTERS[site] ?? []) {
      const used = taken.get(name) ?? 0;
      const now = Math.min(left, Math.max(0, this.#evidence.counted(name) - used));
      taken.set(name, used + now);
      left -= now;
    }
    return open - left;
  }
}

/** After a sync that failed an image may be given up, with all that it has. */
function isSpoiling({ site }: FaultRow): boolean {
  return site === 'image.sync';
}

function mayShow(fault: FaultRow): boolean {
  return fault.class !== 'must-tolerate';
}
