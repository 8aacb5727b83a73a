/**
 * The loop of an explorer's thread, as a lane has one in service: deferred tasks, completions of the image, and wake-ups.
 * Nothing of Node's own loop runs during a schedule.
 */
import type { Loop, Timer } from '../os/loop.ts';
import * as sync from '../shm/sync.ts';
import { Lane } from '../zswap/lane.ts';
import type { OnWrite } from '../zswap/outward.ts';
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
  /** Takes the pages that this thread writes back; what is run says where to. */
  readonly writeback: { to: OnWrite };
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

  /** Whether somebody has woken this thread since the last look; then this was one. */
  woken(): boolean {
    const now = sync.load(this.boxes, this.thread);
    if (now === this.seen) return false;
    this.seen = now;
    return true;
  }

  wait(): void {
    sync.retry(this.boxes, this.thread, this.seen);
    this.seen = sync.load(this.boxes, this.thread);
  }
}

/** The loop of one thread: what was put off, and timers. What comes of its own in service is fired by whoever runs it. */
export class SimLoop implements Loop {
  private readonly tasks: (() => void)[] = [];
  private readonly timers = new Set<() => void>();

  soon(task: () => void): void {
    this.tasks.push(task);
  }

  defer(task: () => void): void {
    this.tasks.push(task);
  }

  after(_ms: number, task: () => void): Timer {
    this.timers.add(task);
    return { cancel: () => this.timers.delete(task) };
  }

  /** Never comes: what has to happen must not need a look now and then. */
  every(): Timer {
    return { cancel: () => undefined };
  }

  /** Runs what was put off; false if there was nothing. */
  run(): boolean {
    const any = this.tasks.length > 0;
    for (let task = this.tasks.shift(); task !== undefined; task = this.tasks.shift()) task();
    return any;
  }

  get hasTimers(): boolean {
    return this.timers.size > 0;
  }

  /** Fires the oldest timer. */
  fire(): void {
    for (const task of this.timers) {
      this.timers.delete(task);
      task();
      return;
    }
  }
}

/** A lane with its loop. */
export class LaneLoop {
  readonly lane: Lane;
  private readonly images: readonly SimImage[];
  private readonly mailbox: Mailbox;
  private readonly loop = new SimLoop();

  constructor({ world, zswap, baton, scenario }: Env) {
    const note = (text: string): void => baton.note(text);
    this.images = zswap.settings.exports.map((_, x) => new SimImage(world.image, x, note, scenario.image));
    this.lane = new Lane(zswap, this.images, 1, this.loop);
    this.mailbox = new Mailbox(zswap);
  }

  /** Runs until `ready`. `onWait` and `onWake` enclose each wait. */
  until(ready: () => boolean, onWait: () => void, onWake: () => void): void {
    for (;;) {
      this.loop.run();
      if (ready()) return;
      // What was heard there may have put something off.
      if (this.loop.run() || this.images.some((image) => image.complete())) continue;
      onWait();
      this.mailbox.wait();
      onWake();
      this.lane.look();
    }
  }
}
