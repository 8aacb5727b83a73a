/**
 * The control verbs swapoff and swapon. swapoff runs here, on the main thread, while the shrinker writes back on its own:
 * that is what the swapoff protocols are about. What needs the images is asked of the shrinker's thread.
 *
 * One swapoff at a time; an export that clients use is refused unless forced.
 */
import { THREAD_MAIN } from '../pool/limits.ts';
import { type Shared, SWAP } from '../pool/shared.ts';
import { chooseProtocols } from '../protocols/index.ts';
import { C, sum } from '../shm/counters.ts';
import { attend } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';
import type { Parkable } from '../zswap/lane.ts';
import { type SwapoffHost, SwapoffOp, swapon } from '../zswap/swapoff_op.ts';
import { Zswap } from '../zswap/zswap.ts';
import type { Config } from './config/schema.ts';
import { ControlError } from './control.ts';
import type { Threads } from './threads.ts';

export interface SwapoffFlags {
  /** Although clients are connected. */
  readonly force: boolean;
  /** Everything stays readable, on the image. */
  readonly keep: boolean;
}

export class SwapControl {
  private readonly shared: Shared;
  private readonly config: Config;
  private readonly shrinker: Threads['shrinker'];
  /** Made with the first verb: it has a compressor of its own. */
  private zswap: Zswap | null = null;
  private parked: Parkable[] = [];
  private running = false;

  constructor(shared: Shared, config: Config, shrinker: Threads['shrinker']) {
    this.shared = shared;
    this.config = config;
    this.shrinker = shrinker;
  }

  /** Throws a ControlError where the export is unknown, in use, or not on. */
  async swapoff(name: string, { force, keep }: SwapoffFlags): Promise<object> {
    const x = this.find(name);
    if (this.running) throw new ControlError(409, 'a swapoff is running, allowed: one at a time');
    if (this.shared.swap[x] !== SWAP.ON) throw new ControlError(409, `export ${name} is swapped off already`);
    const clients = sync.load(this.shared.clients, x);
    if (clients > 0 && !force) {
      throw new ControlError(
        409,
        `export ${name} has ${clients} connected client${clients === 1 ? '' : 's'}, allowed: with --force`,
      );
    }
    const stored = (): number => sum(this.shared.counters, C.stored_pages);
    const before = stored();
    this.running = true;
    try {
      const errno = await this.run(x, keep);
      if (errno !== 0) throw new ControlError(503, `the image of ${name} failed with errno ${errno}; it is still on`);
    } finally {
      this.running = false;
    }
    return { export: name, state: 'off', kept: keep, freed_pages: Math.max(0, before - stored()) };
  }

  swapon(name: string): object {
    const x = this.find(name);
    if (this.running) throw new ControlError(409, 'a swapoff is running, allowed: when it has ended');
    if (this.shared.swap[x] !== SWAP.OFF) throw new ControlError(409, `export ${name} is not swapped off`);
    swapon(this.mine(), x);
    return { export: name, state: 'on' };
  }

  private find(name: string): number {
    const x = this.config.exports.findIndex((one) => one.name === name);
    if (x >= 0) return x;
    const names = this.config.exports.map((one) => one.name).join(', ');
    throw new ControlError(404, `no export ${name}, allowed: ${names}`);
  }

  private run(x: number, keep: boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      let ended = false;
      const guard = (task: () => void): void => {
        try {
          task();
        } catch (error) {
          ended = true;
          reject(error);
        }
      };
      const op = new SwapoffOp(this.host(guard), x, keep, (errno) => {
        ended = true;
        resolve(errno);
      });
      void attend(
        this.shared.boxes,
        THREAD_MAIN,
        () => guard(() => this.look()),
        () => ended,
      );
      guard(() => op.resume());
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
    const { shrinker } = this;
    const answered = (message: Promise<{ errno: number }>, done: (errno: number) => void): void => {
      void message.then(({ errno }) => guard(() => done(errno)));
    };
    return {
      zswap: this.mine(),
      park: (waiting) => this.parked.push(waiting),
      defer: (task) => setImmediate(() => guard(task)),
      copyOut: (x, all, done) => {
        answered(shrinker.next('copied'), done);
        shrinker.send({ type: 'copyOut', x, all });
      },
      punch: (x, first, count, done) => {
        answered(shrinker.next('punched'), done);
        shrinker.send({ type: 'punch', x, first, count });
      },
    };
  }
}
