/**
 * Where faults can be injected, and what each can do there: one declaration, from which come the check of a plan, its defaults
 * and the reference. Each site has one place in the code, at the seam it belongs to:
 *
 *   pool.*     zswap/pool_faults.ts, asked by zswap/store.ts and zswap/zswap.ts
 *   image.*    image/fault_image.ts, put around an image while a plan names it
 *   wire.*     nbd/server/mishaps.ts, asked before a reply begins
 *   process.*  server/process_faults.ts, asked ten times a second; process.kill by shm/sync.ts at a named step
 */
import { assert } from '../shm/assert.ts';
import { STUCK_MS } from '../shm/sync.ts';

/** From the strictest to the loosest: the client sees nothing; an error and never wrong data; what may be lost is stated. */
export const CLASSES = ['must-tolerate', 'must-detect', 'may-lose'] as const;
export type FaultClass = (typeof CLASSES)[number];

/** What a fault can be limited to. */
export const FILTERS = ['export', 'memcg', 'slots', 'connection', 'command', 'age'] as const;
type Filter = (typeof FILTERS)[number];

/** What an action takes in `with`. Times are written with their unit and are milliseconds inside. */
export interface Extra {
  readonly kind: 'time' | 'bytes' | 'step' | 'lane' | 'thread';
  /** As it would be written; without one it has to be given. */
  readonly default?: string | number;
  readonly max?: number;
  readonly about: string;
}

export interface Action {
  /** Unless the plan says another one. */
  readonly class: FaultClass;
  /** The most that a plan may claim. */
  readonly strictest: FaultClass;
  /** Goes together with any other action of the site; two others can't both happen to one call. */
  readonly together?: true;
  /** Nothing but pool.checksums notices it, so that without them no more than may-lose can be claimed. */
  readonly bySums?: true;
  /** Has to end by itself: the control socket, over which it would be cleared, can't be reached meanwhile. */
  readonly ends?: true;
  readonly with?: Readonly<Record<string, Extra>>;
  readonly about: string;
}

interface Site {
  readonly filters: readonly Filter[];
  /** Is there only where lanes and shrinker have threads of their own. */
  readonly threads?: true;
  readonly actions: Readonly<Record<string, Action>>;
}

const tolerate = { class: 'must-tolerate', strictest: 'must-tolerate' } as const;
const detect = { class: 'must-detect', strictest: 'must-detect' } as const;
/** Of most of what meets it; what the pool has rejected is answered with the error. */
const mostly = { class: 'must-detect', strictest: 'must-tolerate' } as const;
const lose = { class: 'may-lose', strictest: 'may-lose' } as const;
const unseen = { ...detect, bySums: true } as const;

/** Ten minutes, as the longest wait of a config. */
const LONG_MS = 600_000;
/** Below what a wait for a lock or a pin takes to be called wedged (shm/sync.ts), with room for a busy machine. */
const STALL_MS = 4000;
assert(STALL_MS < STUCK_MS, 'no stall that a plan may ask for is taken for a wedged thread');

const latency: Action = {
  ...tolerate,
  together: true,
  with: {
    latency: { kind: 'time', max: LONG_MS, about: 'how much later the call begins' },
    jitter: { kind: 'time', default: '0ms', max: LONG_MS, about: 'up to so much more, drawn for each' },
  },
  about: 'the call begins later',
};
const hang: Action = { ...tolerate, about: 'the call does not begin before the fault is over, or cleared' };
const STORED = ['export', 'memcg', 'slots'] as const;
const ENTRY = [...STORED, 'age'] as const;

const delay = (about: string, written: string): Action => ({
  ...tolerate,
  with: { delay: { kind: 'time', default: written, max: LONG_MS, about: 'for so long' } },
  about,
});
const stall = (about: string, more: Readonly<Record<string, Extra>> = {}): Action => ({
  ...tolerate,
  with: { stall: { kind: 'time', default: '500ms', max: STALL_MS, about: 'for so long' }, ...more },
  about,
});

const SITES = {
  'pool.allocate': {
    filters: STORED,
    actions: { fail: { ...tolerate, about: 'the allocator has no room for an object: the page goes to the image' } },
  },
  'pool.compress': {
    filters: STORED,
    actions: {
      fail: { ...tolerate, about: 'the compressor fails: the page goes to the image' },
      poor: { ...tolerate, about: 'the page does not get smaller' },
    },
  },
  'pool.decompress': {
    filters: ENTRY,
    actions: { error: { ...detect, about: 'the object does not decompress' } },
  },
  'pool.object': {
    filters: ENTRY,
    actions: {
      flip: { ...unseen, about: 'a bit of a stored object is another one when it is looked at, and stays so' },
    },
  },
  'pool.entry': {
    filters: ENTRY,
    actions: {
      flip: {
        ...unseen,
        about:
          'a bit of what an entry says of its page is another one: its length as this look has it, or the word of a same-filled page for good',
      },
    },
  },
  'pool.tree': {
    filters: ['export', 'memcg', 'slots'],
    actions: {
      flip: { ...unseen, about: 'the tree leads a READ past the entry of its slot, to what the image has there' },
    },
  },
  'image.read': {
    filters: STORED,
    actions: {
      EIO: { ...detect, about: 'the read fails' },
      ENOSPC: { ...detect, about: 'the read fails, and says that there is no space' },
      latency,
      hang,
    },
  },
  'image.write': {
    filters: STORED,
    actions: {
      EIO: {
        ...mostly,
        about:
          'nothing is written: a page of the pool is tried again, a WRITE that the pool has rejected is answered with the error',
      },
      ENOSPC: { ...mostly, about: 'as EIO, for want of space' },
      short: { ...mostly, about: 'the first part is written, and then it fails with EIO' },
      torn: { ...unseen, about: 'the first part is written, and it succeeds' },
      lost: { ...unseen, about: 'nothing is written, and it succeeds' },
      misdirected: {
        ...unseen,
        about:
          'its first page is written over another slot, one that was written lately, and it succeeds: a second event names that slot',
      },
      latency,
      hang,
    },
  },
  'image.punch': {
    filters: STORED,
    actions: { EIO: { ...detect, about: 'the punch or zero-out fails' }, latency },
  },
  'image.sync': {
    filters: ['export'],
    actions: {
      EIO: { ...detect, about: 'the sync fails, and by that all later ones (an image without O_DIRECT is given up)' },
      lie: { ...lose, about: 'nothing is synced, and it succeeds' },
      once: { ...detect, about: 'as EIO, one time: a later sync must not pass for a good one' },
      latency,
    },
  },
  'wire.reply': {
    filters: ['export', 'slots', 'connection', 'command'],
    actions: {
      error: { ...detect, about: 'the request is answered with EIO, whatever became of it' },
      delay: delay('the reply comes later, and others pass it', '20ms'),
      reorder: delay('the reply comes after the next one, or after this time if there is none', '100ms'),
      duplicate: { ...detect, about: 'a reply comes twice' },
      cookie: { ...detect, about: 'the reply has the cookie of no request' },
      drop: { ...detect, about: 'the connection ends in place of the reply' },
      stall: stall('what is sent next stops in the middle'),
      split: { ...tolerate, about: 'what is sent next is cut inside its first header' },
      'half-close': { ...detect, about: 'the server closes its side of the connection in place of the reply' },
    },
  },
  'process.lane': {
    filters: [],
    threads: true,
    actions: {
      crash: {
        ...lose,
        with: { lane: { kind: 'lane', default: 0, about: 'which one' } },
        about: 'a lane ends by an error of its own, and the process with it (exit 70)',
      },
    },
  },
  'process.shrinker': {
    filters: [],
    threads: true,
    actions: { stall: stall('the thread of the shrinker stands still') },
  },
  'process.kill': {
    filters: [],
    actions: {
      kill: {
        ...lose,
        with: { step: { kind: 'step', about: 'a protocol step, as debug.delay names them' } },
        about: 'SIGKILL when any thread passes the step',
      },
    },
  },
  'process.clock': {
    filters: [],
    actions: {
      jump: {
        ...tolerate,
        with: { by: { kind: 'time', default: '10s', max: LONG_MS, about: 'how far' } },
        about: 'the clock of all threads is so far ahead while the fault is active, and comes back after that',
      },
    },
  },
  'process.loop': {
    filters: [],
    threads: true,
    actions: {
      stall: stall('an event loop stands still', {
        thread: { kind: 'thread', default: 'main', about: '"main", or "lane 0" and so on' },
      }),
    },
  },
  'process.descriptors': {
    filters: [],
    actions: {
      exhaust: { ...tolerate, ends: true, about: 'the process can open nothing more while the fault is active' },
    },
  },
  'process.memory': {
    filters: [],
    actions: {
      exhaust: {
        class: 'may-lose',
        strictest: 'must-tolerate',
        with: { bytes: { kind: 'bytes', about: 'memory that is taken, touched and held while the fault is active' } },
        about: 'memory of the process, and of its cgroup, gets short',
      },
    },
  },
} as const satisfies Readonly<Record<string, Site>>;

export type SiteName = keyof typeof SITES;
export const SITE_NAMES = Object.keys(SITES) as [SiteName, ...SiteName[]];

export function siteOf(name: SiteName): Site {
  return SITES[name];
}

/** Where a fault happens by itself, at a time, and not to what clients do: once, unless the plan says otherwise. */
export function isTimed(name: SiteName): boolean {
  return name.startsWith('process.');
}
