/** The shrinker at work, with the image queues of all exports: in a worker thread, or on the main thread in inline mode. */
import { releaseMemory } from '../os/syscalls.ts';
import { chooseProtocols } from '../protocols/index.ts';
import { attend } from '../shm/mailbox.ts';
import { ImageHandle } from '../zswap/image_handle.ts';
import { ImageQueue } from '../zswap/image_queue.ts';
import { Shrinker } from '../zswap/shrinker.ts';
import { Zswap } from '../zswap/zswap.ts';
import type { FromShrinker, ShrinkerData, ToShrinker } from './messages.ts';

export class ShrinkerRole {
  private readonly shrinker: Shrinker;
  private readonly post: (message: FromShrinker) => void;
  private closed = false;

  constructor(data: ShrinkerData, post: (message: FromShrinker) => void) {
    this.post = post;
    const zswap = new Zswap(data.shared, chooseProtocols(data.protocols), data.thread);
    const queues = data.images.map((image, x) => {
      const handle = new ImageHandle(image, data.shared.imageFlags[x]);
      return new ImageQueue(zswap, x, handle, {
        runPages: data.runPages,
        parallel: data.writesMax,
        syncEvery: image.direct ? Number.POSITIVE_INFINITY : data.syncEvery,
        onError: (what, errno) => this.imageError(x, what, errno),
      });
    });
    this.shrinker = new Shrinker(zswap, queues, data.batch, (segment, offset, bytes) => {
      const result = releaseMemory(segment, offset, bytes);
      if (result < 0) throw new Error(`madvise failed with errno ${-result}`);
    });
    void attend(
      data.shared.boxes,
      data.thread,
      () => this.shrinker.look(),
      () => this.closed,
    );
    post({ type: 'ready' });
  }

  receive(message: ToShrinker): void {
    if (message.type === 'drain') void this.drain(message.x);
    else if (message.type === 'copyOut') {
      const { x, all } = message;
      this.shrinker.copyOut(x, all, (errno) => this.post({ type: 'copied', x, errno }));
    } else if (message.type === 'punch') {
      const { x, first, count } = message;
      this.shrinker.punch(x, first, count, (errno) => this.post({ type: 'punched', x, errno }));
    } else {
      this.closed = true;
      this.shrinker.close();
      this.post({ type: 'closed' });
    }
  }

  private async drain(x: number): Promise<void> {
    const progress = (done: number, total: number, failed: number): void =>
      this.post({ type: 'progress', x, done, total, failed });
    const { failed, errno } = await this.shrinker.drain(x, progress);
    this.post({ type: 'drained', x, failed: failed.length, errno });
  }

  private imageError(x: number, what: string, errno: number): void {
    this.post({ type: 'imageError', x, what, errno });
  }
}
