/**
 * The shrinker's thread, as in service: the served Shrinker over the served image queue, on a loop of the explorer's. What the
 * main thread says to it by messages comes over a ring. So do the pages that a walker of another thread has taken: kernels
 * reclaim from many threads at once, and the protocols have to bear that, although the server has one shrinker.
 */
import { THREAD_SHRINKER } from '../../pool/limits.ts';
import { pop, push, RECORD_WORDS, wake } from '../../shm/mailbox.ts';
import * as sync from '../../shm/sync.ts';
import { ImageQueue } from '../../zswap/image_queue.ts';
import { Shrinker } from '../../zswap/shrinker.ts';
import type { Zswap } from '../../zswap/zswap.ts';
import { type Env, Mailbox, SimLoop } from '../loop.ts';
import { SimImage } from './image.ts';
import type { World } from './world.ts';

const X = 0;
const QUEUE = { runPages: 8, syncEvery: Number.POSITIVE_INFINITY, onError: () => undefined };

export const MESSAGE = { WALKED: 0, COPY_OUT: 1, PUNCH: 2 } as const;
type Message = (typeof MESSAGE)[keyof typeof MESSAGE];

/** Sends a message to the shrinker's thread: of WALKED slot and buffer, of COPY_OUT whether all, of PUNCH slot and count. */
export function post({ messages }: World, { shared, thread }: Zswap, message: Message, a: number, b: number): void {
  if (!push(messages, Int32Array.of(message, a, b, thread, 0, 0), thread)) throw new Error('too many messages');
  wake(shared.boxes, THREAD_SHRINKER);
}

/** The answer that `thread` has got, and takes: an errno, or null for none yet. */
export function takeAnswer({ answers }: World, thread: number): number | null {
  const answer = sync.load(answers, thread);
  if (answer === 0) return null;
  sync.store(answers, thread, 0);
  return answer - 1;
}

/** Never returns. */
export function runShrinker(env: Env): never {
  const { world, zswap, baton, scenario } = env;
  const { parallel = 1, okWrites = 0, failWrites = 0 } = scenario.image ?? {};
  const loop = new SimLoop();
  const lastFirst = parallel > 1;
  const image = new SimImage(world.image, (text) => baton.note(text), { okWrites, failWrites, lastFirst });
  const queue = new ImageQueue(zswap, X, image, { ...QUEUE, parallel, loop });
  const shrinker = new Shrinker(zswap, [queue], { batch: 1, release: () => undefined, loop });
  const mailbox = new Mailbox(zswap);
  const timer = (): void => {
    baton.pause();
    baton.note('image: parked pages are tried again');
  };
  receive(world, zswap, queue, shrinker);
  shrinker.look();
  for (;;) {
    if (loop.run() || image.complete() || loop.fire(timer)) continue;
    mailbox.wait();
    receive(world, zswap, queue, shrinker);
    shrinker.look();
  }
}

const record = new Int32Array(RECORD_WORDS);

function receive(world: World, zswap: Zswap, queue: ImageQueue, shrinker: Shrinker): void {
  const { boxes } = zswap.shared;
  while (pop(world.messages, record, boxes)) {
    const [message, a, b, thread] = record;
    const answer = (errno: number): void => {
      sync.store(world.answers, thread, errno + 1);
      wake(boxes, thread);
    };
    if (message === MESSAGE.WALKED) queue.push('writeback', a, 1, b, null);
    else if (message === MESSAGE.COPY_OUT) shrinker.copyOut(X, a === 1, answer);
    else shrinker.punch(X, a, b, answer);
  }
}
