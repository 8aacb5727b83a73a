/**
 * Keeps the markers of a strict server true to what it knows (zswap/vouch.ts): one that vouches for what was flushed is made
 * one that does not. Lives on the main thread. What is done to one marker is done one after another, its removal too.
 */
import type { MarkerInfo } from '../image/marker.ts';
import { distrustLater } from '../image/places.ts';
import { EIO } from '../os/errno.ts';
import { errorText } from '../os/exit_error.ts';
import { THREAD_MAIN } from '../pool/limits.ts';
import type { Shared } from '../pool/shared.ts';
import { attend } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';
import { VOUCH } from '../zswap/vouch.ts';
import type { ServedImage } from './images.ts';

const DOUBTED =
  'a page was lost, or a sync has failed: from here to a clean stop its marker vouches for nothing that was flushed';

const VOUCHES_STILL = ', and vouches for what is not there, allowed: reset the image by hand';

export class Vouching {
  private readonly shared: Shared;
  private readonly images: readonly ServedImage[];
  private readonly tell: (x: number, text: string) => void;
  private markers: readonly MarkerInfo[] = [];
  /** By export: what is done to its marker, how many wait for that, and what was told of it last. */
  private readonly changes: Promise<unknown>[];
  private readonly waiting: number[];
  private readonly told: string[];

  /** `tell`: gets that a marker was changed, or why it could not be; each once. */
  constructor(shared: Shared, images: readonly ServedImage[], tell: (x: number, text: string) => void) {
    this.shared = shared;
    this.images = images;
    this.tell = tell;
    this.changes = images.map(() => Promise.resolve());
    this.waiting = images.map(() => 0);
    this.told = images.map(() => '');
  }

  /** To be called with the markers written, before clients are let in. */
  begin(markers: readonly MarkerInfo[]): void {
    this.markers = markers;
    for (const [x, one] of markers.entries()) {
      if (one.durability !== 'strict') sync.store(this.shared.vouch, x, VOUCH.NO);
    }
    if (this.shared.dirty === null) return;
    // Whoever doubts wakes this thread; and once a second a marker that could not be changed is tried again.
    const look = (): void => {
      for (const x of markers.keys()) {
        if (sync.load(this.shared.vouch, x) === VOUCH.DOUBTED && this.waiting[x] === 0) void this.settle(x);
      }
    };
    void attend(this.shared.boxes, THREAD_MAIN, look, () => false);
  }

  /** Has the marker say what is known. Resolves with 0, or with the error that a FLUSH is to be answered with. */
  settle(x: number): Promise<number> {
    return this.inLine(x, async () => {
      if (sync.load(this.shared.vouch, x) !== VOUCH.DOUBTED) return 0;
      const { problem } = await this.distrust(x);
      if (problem === null) sync.store(this.shared.vouch, x, VOUCH.NO);
      this.say(
        x,
        problem === null ? DOUBTED : `its marker can't be changed, and no FLUSH is answered well: ${problem}`,
      );
      return problem === null ? 0 : EIO;
    });
  }

  /** At the end of an export that is not whole. Resolves with what became of its marker, as the end of a sentence. */
  giveUp(x: number): Promise<string> {
    return this.inLine(x, async () => {
      sync.store(this.shared.vouch, x, VOUCH.NO);
      const { there, problem } = await this.distrust(x);
      if (!there) return 'its marker is gone too';
      if (problem === null) return 'its marker stays';
      const still = this.markers[x].durability === 'strict' ? VOUCHES_STILL : '';
      return `its marker stays as it was, because it can't be changed (${problem})${still}`;
    });
  }

  /** At the end of an export that is whole: `work` removes its marker, and nothing is done to that any more. */
  end<T>(x: number, work: () => Promise<T>): Promise<T> {
    return this.inLine(x, () => {
      sync.store(this.shared.vouch, x, VOUCH.NO);
      return work();
    });
  }

  private async distrust(x: number): Promise<{ there: boolean; problem: string | null }> {
    try {
      return { there: await distrustLater(this.images[x].places, this.markers[x]), problem: null };
    } catch (error) {
      return { there: true, problem: errorText(error) };
    }
  }

  private inLine<T>(x: number, work: () => Promise<T>): Promise<T> {
    this.waiting[x]++;
    const done = this.changes[x].then(work).finally(() => this.waiting[x]--);
    this.changes[x] = done.catch(() => undefined);
    return done;
  }

  private say(x: number, text: string): void {
    if (this.told[x] === text) return;
    this.told[x] = text;
    this.tell(x, text);
  }
}
