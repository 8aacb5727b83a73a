/**
 * The faults of one thread with images: what is put around them, and into the pool as it sees it, when a plan comes into force,
 * and is taken off when it goes. Without a plan nothing of this is on any path.
 */
import type { FaultsInForce, Gate } from '../faults/gate.ts';
import { FaultImage } from '../image/fault_image.ts';
import type { Image } from '../image/image.ts';
import { NODE_LOOP } from '../os/loop.ts';
import type { Shared } from '../pool/shared.ts';
import { InjectedFaults } from '../zswap/pool_faults.ts';
import type { Zswap } from '../zswap/zswap.ts';
import { openGate } from './fault_gate.ts';
import { ProcessFaults } from './process_faults.ts';

interface FaultyThread {
  readonly shared: Shared;
  readonly zswap: Zswap;
  /** As they are in service, by export. */
  readonly images: readonly Image[];
  readonly useImage: (x: number, image: Image) => void;
  /** "lane 0" and so on, or "shrinker". */
  readonly name: string;
  /** It runs on the main thread, which has the faults of the process already. */
  readonly inline: boolean;
}

export class ThreadFaults {
  private readonly o: FaultyThread;
  private readonly process: ProcessFaults | null;
  private decorated: FaultImage[] = [];

  constructor(o: FaultyThread) {
    this.o = o;
    this.process = o.inline ? null : new ProcessFaults(o.name);
  }

  /** In place of those of before; null: none. */
  apply(faults: FaultsInForce | null): Gate | null {
    const { shared, zswap, images, useImage } = this.o;
    const gate = faults === null ? null : openGate(faults, shared);
    const before = this.decorated;
    this.decorated = [];
    for (const [x, image] of images.entries()) useImage(x, this.decorate(gate, x, image));
    zswap.faults = gate?.names('pool.') === true ? new InjectedFaults(gate, zswap) : null;
    this.process?.apply(gate);
    for (const one of before) one.heal();
    return gate;
  }

  private decorate(gate: Gate | null, x: number, image: Image): Image {
    if (gate?.names('image.') !== true) return image;
    const decorated = new FaultImage(image, { gate, x, flags: this.o.shared.imageFlags[x], loop: NODE_LOOP });
    this.decorated.push(decorated);
    return decorated;
  }
}
