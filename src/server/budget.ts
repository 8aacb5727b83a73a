/**
 * How many calls on images may be under way, so that one that stalls leaves threads to the others.
 *
 * All calls on images run on the one pool of libuv that the process has: Node's own, and those that koffi makes for punches
 * and for the page cache. Its size is UV_THREADPOOL_SIZE, which only the environment of the process can set (scripts/serve
 * does); Node's default is 4. A quarter is for the image queues (writes, punches, zeros, syncs, each with the look at the
 * size that goes before it: one call of them at a time), half for reads, shared out over images and lanes; the rest is slack.
 *
 * Each share is at least 1. While that exceeds nothing, all images but one may stall and the last is served as ever. With
 * more images than that the pool can be taken by those that stall: `stalled` says how many it takes.
 */
const DEFAULT_POOL = 4;
/** What scripts/serve sets where nobody else has. */
const SERVE_POOL = 32;
/** libuv makes no more threads than this, whatever it is asked for. */
const LARGEST_POOL = 1024;

export interface ImageBudget {
  /** Calls of the image queue under way, per image. */
  readonly writes: number;
  /** Image reads under way, per image and lane. */
  readonly reads: number;
  /** So many images may stall at once, and the others still have a thread each. At most `images` - 1. */
  readonly stalled: number;
}

/** What there is beside lanes and image queues. */
interface Beside {
  /** One page at a time, of whichever image. */
  readonly scrub: boolean;
  /** The marker of an image may have to be changed while it stalls (vouching.ts). */
  readonly strict: boolean;
}

/** `lanes`: 0 is inline mode, where one thread does all. */
export function imageBudget(
  lanes: number,
  images: number,
  environment: NodeJS.ProcessEnv,
  { scrub, strict }: Beside,
): ImageBudget {
  const size = Math.min(LARGEST_POOL, Number(environment.UV_THREADPOOL_SIZE ?? DEFAULT_POOL) || DEFAULT_POOL);
  const readers = Math.max(1, lanes);
  const writes = Math.max(1, Math.floor(size / 4 / images));
  const reads = Math.max(1, Math.floor(size / 2 / (images * readers)));
  const ofOne = writes + reads * readers + Number(strict);
  const stalled = Math.floor((size - 1 - Number(scrub)) / ofOne);
  return { writes, reads, stalled: Math.min(images - 1, stalled) };
}

/** What to say at start when images that stall could take every thread. */
export function poolTooSmall({ stalled }: ImageBudget, lanes: number, images: number, beside: Beside): string {
  const those = stalled === 0 ? 'any of them stalls' : `more than ${stalled} of them stall at once`;
  const start = `UV_THREADPOOL_SIZE is too small for this many images: if ${those}, the others wait for threads`;
  const isEnough = (size: number): boolean =>
    imageBudget(lanes, images, { UV_THREADPOOL_SIZE: `${size}` }, beside).stalled === images - 1;
  if (isEnough(SERVE_POOL)) return `${start}; ${SERVE_POOL}, as scripts/serve sets, is enough`;
  let size = SERVE_POOL;
  while (size < LARGEST_POOL && !isEnough(size)) size++;
  return isEnough(size) ? `${start}; ${size} is enough` : `${start}; fewer lanes or exports need fewer`;
}
