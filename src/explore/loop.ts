/**
 * The loop of an explorer's thread, as a lane has one in service: deferred tasks, completions of the image, and wake-ups.
 * Nothing of Node's own loop runs during a schedule.
 */
import * as sync from '../shm/sync.ts';
import { Lane } from '../zswap/lane.ts';
import type { Zswap } from '../zswap/zswap.ts';
import type { Baton } from './baton.ts';
import type { Scenario } from './scenarios/scenario.ts';
import { SimImage } from './world/image.ts';
import type { World } from './world/world.ts';

export interface Env {
  readonly world: World;
  readonly zswap: Zswap;
  readonly baton: Baton;
  readonly scenario: Scenario;
}

/** Loads the mailbox, works, and waits for its next change: what `attend` is in service. */
export class Mailbox {
  private readonly boxes: Int32Array;
  private readonly thread: number;
  private seen: number;

  constructor(zswap: Zswap) {
    this.boxes = zswap.shared.boxes;
    this.thread = zswap.thread;
    this.seen = sync.load(this.boxes, this.thread);
  }

  wait(): void {
    sync.retry(this.boxes, this.thread, this.seen);
    this.seen = sync.load(this.boxes, this.thread);
  }
}

/** A lane with its loop. */
export class LaneLoop {
  readonly lane: Lane;
  private readonly image: SimImage;
  private readonly mailbox: Mailbox;
  private readonly tasks: (() => void)[] = [];

  constructor({ world, zswap, baton }: Env) {
    this.image = new SimImage(world.image, (text) => baton.note(text));
    this.lane = new Lane(zswap, [this.image], 1);
    this.lane.defer = (task) => this.tasks.push(task);
    this.mailbox = new Mailbox(zswap);
  }

  /** Runs until `ready`. `onWait` and `onWake` enclose each wait. */
  until(ready: () => boolean, onWait: () => void, onWake: () => void): void {
    for (;;) {
      for (let task = this.tasks.shift(); task !== undefined; task = this.tasks.shift()) task();
      if (ready()) return;
      if (this.image.complete()) continue;
      onWait();
      this.mailbox.wait();
      onWake();
      this.lane.look();
    }
  }
}
