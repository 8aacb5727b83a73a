/**
 * The control verbs swapoff and swapon, and what a stop has to do with them. This is the owner of the exports' states
 * (pool/export_state.ts has the table of what is refused when).
 *
 * swapoff runs here, on the main thread, while the shrinker writes back on its own: that is what the swapoff protocols are
 * about. What needs the images is asked of the shrinker's thread. One verb at a time to an export; verbs of several exports
 * run side by side, so that a stalled image holds up none but its own. An export that clients use is refused unless forced.
 */

import type { Config } from '../config/schema.ts';
import { ControlError } from '../control/error.ts';
import { errnoName } from '../os/errno.ts';
import { setCount } from '../pool/bits.ts';
import { enter, STATE, stateOf, TABLE } from '../pool/export_state.ts';
import { THREAD_MAIN } from '../pool/limits.ts';
import type { Shared } from '../pool/shared.ts';
import { chooseProtocols } from '../protocols/index.ts';
import { attend } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';
import type { Parkable } from '../zswap/lane.ts';
import { type SwapoffHost, SwapoffOp, swapon } from '../zswap/swapoff_op.ts';
import { type Discarded, punchAgain } from '../zswap/swapoff_punch.ts';
import { Zswap } from '../zswap/zswap.ts';
import type { FromShrinker, ToShrinker } from './messages.ts';
import { many } from './wording.ts';

interface SwapoffFlags {
  /** Although clients are connected. */
  readonly force: boolean;
  /** Everything stays readable, on the image. */
  readonly keep: boolean;
}

/** What an image was told to forget and has not, and how many pages the swapoff had freed. */
interface Unforgotten {
  readonly trees: readonly Discarded[];
  readonly freed: number;
}

/** How an order of a verb, or a drain, ended. */
type Answer = Extract<FromShrinker, { type: 'copied' | 'punched' | 'drained' }>;

/** How a drain ended: pages that the image did not take, without those that were lost before, and 0 or the first error. */
export type Drained = Pick<Extract<FromShrinker, { type: 'drained' }>, 'failed' | 'errno'>;

export class SwapControl {
  private readonly shared: Shared;
  private readonly config: Config;
  private readonly send: (message: ToShrinker) => void;
  /** Made with the first verb: it has a compressor of its own. */
  private zswap: Zswap | null = null;
  private parked: Parkable[] = [];
  /** By export: what its verb or its drain waits for from the shrinker, and the end of its verb. */
  private readonly asked = new Map<number, (answer: Answer) => void>();
  private readonly running = new Map<number, Promise<unknown>>();
  /** By export that is off: what its image would not forget. Another swapoff asks for that again. */
  private readonly unforgotten = new Map<number, Unforgotten>();
  private stopping = false;

  /** `send`: to the shrinker's thread, whose answers have to come to answered(). */
  constructor(shared: Shared, config: Config, send: (message: ToShrinker) => void) {
    this.shared = shared;
    this.config = config;
    this.send = send;
  }

  /** Throws a ControlError where the export is unknown, in use, or in a state that refuses it. */
  async swapoff(name: string, { force, keep }: SwapoffFlags): Promise<object> {
    const x = this.find(name);
    const again = this.unforgotten.get(x);
    if (again === undefined || this.stopping) this.refuse(x, 'swapoff');
    else if (keep) {
      throw new ControlError(
        409,
        `export ${name} is off, and its image is told again to forget, allowed: without --keep`,
      );
    }
    const clients = sync.load(this.shared.clients, x);
    if (clients > 0 && !force) {
      throw new ControlError(409, `export ${name} has ${many(clients, 'connected client')}, allowed: with --force`);
    }
    const running = again === undefined ? this.swapoffOf(x, keep) : this.forgetAgain(x, again);
    this.running.set(x, running);
    try {
      const freed = await running;
      if (keep) this.tellLost(x);
      return { export: name, state: 'off', kept: keep, freed_pages: freed };
    } finally {
      this.running.delete(x);
      if (this.stopping) this.leave(x);
    }
  }

  /** Who keeps an image wants to have all of it there. */
  private tellLost(x: number): void {
    const lost = setCount(this.shared.lost, x);
    if (lost === 0) return;
    const pages = `${many(lost, 'page')} of it ${lost === 1 ? 'is' : 'are'} lost and ${lost === 1 ? 'reads' : 'read'} as EIO`;
    throw new ControlError(503, `${this.config.exports[x].name} is off, and its image has the rest, but ${pages}`);
  }

  swapon(name: string): object {
    const x = this.find(name);
    this.refuse(x, 'swapon');
    this.unforgotten.delete(x);
    swapon(this.mine(), x);
    return { export: name, state: 'on' };
  }

  /** What the shrinker says of a copyOut, a punch or a drain. */
  answered(answer: Answer): void {
    const done = this.asked.get(answer.x);
    this.asked.delete(answer.x);
    done?.(answer);
  }

  /** Exports that a verb is at work on. */
  get verbs(): string[] {
    return [...this.running.keys()].map((x) => this.config.exports[x].name);
  }

  /** The stop has begun: verbs are refused from here on. */
  stop(): void {
    this.stopping = true;
    for (const x of this.config.exports.keys()) this.leave(x);
  }

  /**
   * Resolves when no verb is at work on export `x`. That has no deadline of its own, as the drain has none: what a swapoff
   * waits for is the image, and with --keep it does the drain's work.
   */
  async verbEnded(x: number): Promise<void> {
    for (let verb = this.running.get(x); verb !== undefined; verb = this.running.get(x))
      await Promise.allSettled([verb]);
  }

  /** Brings export `x`, which has no connection and no verb any more, to its end: everything is copied to its image. */
  async drain(x: number): Promise<Drained> {
    const { states } = this.shared;
    // One that was swapped off has ended already, and its drain is a sync.
    const drains = stateOf(states, x) === STATE.STOPPING;
    if (drains) enter(states, x, STATE.DRAINING);
    const drained = await new Promise<Drained>((resolve) => {
      this.asked.set(x, (answer) => resolve(answer as Extract<Answer, { type: 'drained' }>));
      this.send({ type: 'drain', x });
    });
    if (drains) enter(states, x, STATE.ENDED);
    return drained;
  }

  /** Where the stop takes an export that no verb is at work on. */
  private leave(x: number): void {
    const to = TABLE[stateOf(this.shared.states, x)].stop;
    if (to !== null) enter(this.shared.states, x, to);
  }

  private refuse(x: number, verb: 'swapoff' | 'swapon'): void {
    const why = TABLE[stateOf(this.shared.states, x)][verb];
    if (why !== null) throw new ControlError(409, `export ${this.config.exports[x].name} ${why}`);
  }

  private find(name: string): number {
    const x = this.config.exports.findIndex((one) => one.name === name);
    if (x >= 0) return x;
    const names = this.config.exports.map((one) => one.name).join(', ');
    throw new ControlError(404, `no export ${name === '' ? '""' : name}, allowed: ${names}`);
  }

  /** Resolves with the number of pages that were freed. */
  private async swapoffOf(x: number, keep: boolean): Promise<number> {
    let freed = 0;
    await this.run((host, done) => {
      const op: SwapoffOp = new SwapoffOp(host, x, keep, (errno: number) => {
        freed = op.freed;
        done(this.problem(x, errno, { trees: op.refused, freed }));
      });
      op.resume();
    });
    return freed;
  }

  private async forgetAgain(x: number, { trees, freed }: Unforgotten): Promise<number> {
    this.unforgotten.delete(x);
    await this.run((host, done) =>
      punchAgain(host, x, trees, (errno, left) => done(this.problem(x, errno, { trees: left, freed }))),
    );
    return freed;
  }

  private problem(x: number, errno: number, left: Unforgotten): ControlError | null {
    const { name } = this.config.exports[x];
    if (errno === 0) return null;
    if (left.trees.length === 0)
      return new ControlError(503, `the image of ${name} failed (${errnoName(errno)}); it is still on`);
    this.unforgotten.set(x, left);
    const pages = setCount(this.shared.lost, x);
    return new ControlError(
      503,
      `${name} is off, but its image failed (${errnoName(errno)}) and still has ${pages} of the pages that it was told to forget; they read as EIO, allowed: swapoff again`,
    );
  }

  private run(begin: (host: SwapoffHost, done: (problem: ControlError | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      let ended = false;
      const end = (problem: unknown): void => {
        ended = true;
        if (problem === null) resolve();
        else reject(problem);
      };
      const guard = (task: () => void): void => {
        try {
          task();
        } catch (error) {
          end(error);
        }
      };
      void attend(
        this.shared.boxes,
        THREAD_MAIN,
        () => guard(() => this.look()),
        () => ended,
      );
      guard(() => begin(this.host(guard), end));
    });
  }

  private look(): void {
    for (const waiting of this.parked.splice(0)) waiting.resume();
  }

  private mine(): Zswap {
    this.zswap ??= new Zswap(this.shared, chooseProtocols(this.config.protocol), THREAD_MAIN);
    return this.zswap;
  }

  private host(guard: (task: () => void) => void): SwapoffHost {
    const ask = (message: Extract<ToShrinker, { x: number }>, done: (errno: number) => void): void => {
      this.asked.set(message.x, ({ errno }) => guard(() => done(errno)));
      this.send(message);
    };
    return {
      zswap: this.mine(),
      park: (waiting) => this.parked.push(waiting),
      defer: (task) => setImmediate(() => guard(task)),
      copyOut: (x, all, done) => ask({ type: 'copyOut', x, all }, done),
      punch: (x, first, count, done) => ask({ type: 'punch', x, first, count }, done),
    };
  }
}
