/**
 * Keeps the markers of a strict server true to what it knows (zswap/vouch.ts says why): one that vouches for what was flushed
 * is made one that does not as soon as a page is lost or a sync has failed, and vouches again once everything was flushed
 * with nothing lost. Lives on the main thread. The changes of one marker are made one after another.
 */
import { changeVouchLater } from '../image/places.ts';
import { EIO } from '../os/errno.ts';
import { errorText } from '../os/exit_error.ts';
import { THREAD_MAIN } from '../pool/limits.ts';
import type { Shared } from '../pool/shared.ts';
import { attend } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';
import { isWhole, marksWrong, VOUCH } from '../zswap/vouch.ts';
import { changedMarker, type ServedImage } from './images.ts';

export class Vouching {
  private readonly shared: Shared;
  private readonly images: readonly ServedImage[];
  private readonly tell: (x: number, text: string) => void;
  private readonly changes: Promise<unknown>[];

  /** `tell`: gets why a marker could not be changed, or that it was. */
  constructor(shared: Shared, images: readonly ServedImage[], tell: (x: number, text: string) => void) {
    this.shared = shared;
    this.images = images;
    this.tell = tell;
    this.changes = images.map(() => Promise.resolve());
  }

  /** To be called with the markers written, before clients are let in. `strict`: by export, whether its marker vouches. */
  begin(strict: readonly boolean[]): void {
    for (const [x, one] of strict.entries()) if (!one) sync.store(this.shared.vouch, x, VOUCH.NEVER);
    if (!strict.includes(true)) return;
    // Whoever loses a page wakes this thread.
    void attend(
      this.shared.boxes,
      THREAD_MAIN,
      () => {
        for (const x of strict.keys())
          if (sync.load(this.shared.vouch, x) === VOUCH.YES && marksWrong(this.shared, x)) void this.settle(x);
      },
      () => false,
    );
  }

  /** Makes the marker say what is known. Resolves with 0, or with the error that a FLUSH is to be answered with. */
  settle(x: number): Promise<number> {
    const settled = this.changes[x].then(() => this.change(x));
    this.changes[x] = settled;
    return settled;
  }

  /** At the end of an export that is not whole: as settle, for good. Resolves with what became of its marker (images.ts). */
  giveUp(x: number): Promise<string> {
    const given = this.changes[x].then(() => {
      sync.store(this.shared.vouch, x, VOUCH.NEVER);
      return changedMarker(this.images[x]);
    });
    this.changes[x] = given;
    return given;
  }

  private async change(x: number): Promise<number> {
    const { shared, images } = this;
    for (;;) {
      const says = sync.load(shared.vouch, x);
      const whole = isWhole(shared, x);
      if (says === VOUCH.NEVER || says === (whole ? VOUCH.YES : VOUCH.NO)) return 0;
      sync.store(shared.vouch, x, VOUCH.CHANGING);
      try {
        const says = await changeVouchLater(images[x].places, whole ? 'strict' : 'volatile');
        if (!says) {
          // Somebody took it away, or nobody can read it: it vouches for nothing, and that is for good.
          sync.store(shared.vouch, x, VOUCH.NEVER);
          return 0;
        }
      } catch (error) {
        this.tell(x, `the marker can't be changed, and no FLUSH is answered well: ${errorText(error)}`);
        return EIO;
      }
      sync.store(shared.vouch, x, whole ? VOUCH.YES : VOUCH.NO);
      this.tell(x, whole ? 'its marker vouches again for what was flushed' : NOT_WHOLE);
    }
  }
}

const NOT_WHOLE =
  'pages are lost, or a sync has failed: its marker vouches for nothing, until they were written and all was flushed';
