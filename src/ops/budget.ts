/**
 * How many image calls may be under way, so that one stalled image can't take every thread of libuv's pool.
 *
 * The pool's size is UV_THREADPOOL_SIZE, which only the environment of the process can set (scripts/serve does); Node's
 * default is 4. A quarter is for image writes, half for reads, shared out over images and lanes; the rest is slack for
 * punches and syncs. Each share is at least 1, so with more images than threads the isolation is partial.
 */
const DEFAULT_POOL = 4;

export interface ImageBudget {
  /** Image writes under way, per image. */
  readonly writes: number;
  /** Image reads under way, per image and lane. */
  readonly reads: number;
}

export function imageBudget(lanes: number, images: number, environment: NodeJS.ProcessEnv): ImageBudget {
  const size = Number(environment.UV_THREADPOOL_SIZE ?? DEFAULT_POOL) || DEFAULT_POOL;
  return {
    writes: Math.max(1, Math.floor(size / 4 / images)),
    reads: Math.max(1, Math.floor(size / 2 / (images * Math.max(1, lanes)))),
  };
}
