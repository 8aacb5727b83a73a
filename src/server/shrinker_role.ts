/** The shrinker at work, with the image queues of all exports: in a worker thread, or on the main thread in inline mode. */

import { countPages } from '../image/counted_image.ts';
import type { Image } from '../image/image.ts';
import { ImageQueue } from '../image/image_queue.ts';
import { openImage } from '../image/open.ts';
import * as errno from '../os/errno.ts';
import { NODE_LOOP } from '../os/loop.ts';
import { releaseMemory } from '../os/memory.ts';
import { MEMORY_PRESSURE, Pressure } from '../os/pressure.ts';
import { testBit } from '../pool/bits.ts';
import type { Shared } from '../pool/shared.ts';
import { chooseProtocols } from '../protocols/index.ts';
import { attend } from '../shm/mailbox.ts';
import { Scrub } from '../zswap/scrub.ts';
import { Shrinker } from '../zswap/shrinker.ts';
import { Zswap } from '../zswap/zswap.ts';
import type { FromShrinker, ThreadData, ToShrinker } from './messages.ts';
import { mismatches } from './mismatches.ts';
import { ThreadFaults } from './thread_faults.ts';

export class ShrinkerRole {
  private readonly shrinker: Shrinker;
  private readonly post: (message: FromShrinker) => void;
  private readonly faults: ThreadFaults;
  /** Null where there is nothing to compare with. */
  private readonly scrub: Scrub | null;
  private closed = false;
  private readonly shared: Shared;
  /** By export: who waits for its marker, in the order in which they have asked. */
  private readonly vouching = new Map<number, ((errno: number) => void)[]>();
  /** By number: what ends what was asked for and is under way. */
  private readonly asked = new Map<number, () => void>();

  constructor({ shared, settings, thread, traffic }: ThreadData, post: (message: FromShrinker) => void) {
    this.post = post;
    this.shared = shared;
    const queues: ImageQueue[] = [];
    const images: Image[] = [];
    const zswap = new Zswap(shared, chooseProtocols(settings.protocols), thread, (x, slot, buffer) =>
      queues[x].push('writeback', slot, 1, buffer, null),
    );
    zswap.onMismatch = mismatches(zswap, post);
    const { batch, cursor, pressure, runPages, writesMax: parallel, syncEvery } = settings.shrinker;
    for (const [x, image] of settings.images.entries()) {
      const handle = countPages(openImage(image, shared.imageFlags[x]), traffic, thread, x);
      const queue = new ImageQueue(zswap, x, handle, {
        runPages,
        parallel,
        syncEvery,
        loop: NODE_LOOP,
        onError: (what, errno) => this.imageError(x, what, errno),
      });
      queues.push(queue);
      images.push(handle);
    }
    const release = (segment: Uint8Array, offset: number, bytes: number): void => {
      const result = releaseMemory(segment, offset, bytes);
      if (result < 0) throw new Error(`madvise failed (${errno.errnoName(result)})`);
    };
    const memory = new Pressure(MEMORY_PRESSURE, (why) => post({ type: 'noPressure', why }));
    const isPressed = (): boolean => memory.percent() >= pressure;
    this.shrinker = new Shrinker(zswap, queues, {
      ...{ batch, cursor, isPressed, release, loop: NODE_LOOP },
      vouch: (x, done) => this.vouch(x, done),
    });
    const { scrub: rate } = settings.shrinker;
    const onUnreadable = (x: number, errno: number): void => this.imageError(x, 'scrub', errno);
    const read = images.slice();
    this.scrub = rate === 0 ? null : new Scrub(zswap, { rate, loop: NODE_LOOP, images: read, onUnreadable });
    const useImage = (x: number, image: Image): void => {
      queues[x].image = image;
      read[x] = image;
    };
    const inline = shared.settings.lanes === 0;
    this.faults = new ThreadFaults({ shared, zswap, images, useImage, name: 'shrinker', inline });
    void attend(
      shared.boxes,
      thread,
      () => this.shrinker.look(),
      () => this.closed,
    );
    post({ type: 'ready' });
  }

  receive(message: ToShrinker): void {
    if (message.type === 'drain') this.drain(message.x);
    else if (message.type === 'copyOut') {
      const { x, all } = message;
      this.shrinker.copyOut(x, all, (errno) => this.post({ type: 'copied', x, errno }));
    } else if (message.type === 'punch') {
      const { x, first, count } = message;
      this.shrinker.punch(x, first, count, (errno) => this.post({ type: 'punched', x, errno }));
    } else if (message.type === 'reclaim') this.reclaim(message);
    else if (message.type === 'report') {
      const { x } = message.batch;
      this.shrinker.reports.begin(message.batch, (result) => this.post({ type: 'applied', x, result }));
    } else if (message.type === 'writeBack') this.writeBack(message);
    else if (message.type === 'faults') this.faults.apply(message.faults);
    else if (message.type === 'endAsked') this.asked.get(message.id)?.();
    else if (message.type === 'vouched') this.vouching.get(message.x)?.shift()?.(message.errno);
    else {
      this.closed = true;
      this.scrub?.close();
      this.shrinker.close();
      this.post({ type: 'closed' });
    }
  }

  private vouch(x: number, done: (errno: number) => void): void {
    const waiting = this.vouching.get(x);
    if (waiting === undefined) this.vouching.set(x, [done]);
    else waiting.push(done);
    this.post({ type: 'vouch', x });
  }

  private drain(x: number): void {
    const isThere = (slot: number): boolean => !testBit(this.shared.lost, x, slot);
    this.shrinker.drain(
      x,
      (done, total, failed) => this.post({ type: 'progress', x, done, total, failed }),
      ({ failed, errno }) => this.post({ type: 'drained', x, failed: failed.filter(isThere).length, errno }),
    );
  }

  private reclaim({ id, m, bytes, unusedSince, ms }: Extract<ToShrinker, { type: 'reclaim' }>): void {
    const { proactive, onDemand } = this.shrinker;
    const answer = (result: number): void => {
      this.asked.delete(id);
      this.post({ type: 'reclaimed', id, errno: result });
    };
    const end =
      unusedSince === null
        ? proactive.begin(m, bytes, ms, answer)
        : onDemand.begin({ m, bytes, unusedSince }, ms, (outcome) => answer(outcome === 'done' ? 0 : errno.EAGAIN));
    this.asked.set(id, end);
  }

  private writeBack({ id, wanted, ms }: Extract<ToShrinker, { type: 'writeBack' }>): void {
    const end = this.shrinker.onDemand.begin(wanted, ms, (outcome) => {
      this.asked.delete(id);
      this.post({ type: 'wroteBack', id, outcome });
    });
    this.asked.set(id, end);
  }

  private imageError(x: number, what: string, errno: number): void {
    this.post({ type: 'imageError', x, what, errno });
  }
}
