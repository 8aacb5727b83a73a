/**
 * The pins that blocks of WRITEs wait for. A block that waits is offered again by its connection, in a turn after the one in
 * which the lane was woken, and whoever was woken with it may have the slot by then:
 *   1. the pin is dropped   2. the block's connection is told   3. a READ of the slot is resumed, and pins it for as long as the
 *   image takes   4. the block is offered, and waits again, for as long as there are such READs
 * So what is parked here takes the pin itself, in its place among all that wait, and keeps it until the block is offered
 * again, or given up. Until then it counts as any pin: whoever wants the slot waits for the connection's next turn.
 *
 * One entry per block that waits: bounded by connections, and by the WRITE_ZEROES in flight.
 */
import type { DeviceRequest } from 'node-nbd-server/device';
import { noClaim } from '../pool/claims.ts';
import { EEXIST } from '../pool/slots.ts';
import type { Lane, Parkable } from './lane.ts';

class PinWait implements Parkable {
  /** The slot's record once it is pinned, else 0. */
  record = 0;
  over = false;
  readonly place = noClaim();
  private readonly lane: Lane;
  private readonly x: number;
  private readonly slot: number;
  private readonly request: Parkable;

  constructor(lane: Lane, x: number, slot: number, request: Parkable) {
    this.lane = lane;
    this.x = x;
    this.slot = slot;
    this.request = request;
  }

  get counted(): boolean {
    return this.request.counted !== false;
  }

  set counted(counted: boolean) {
    this.request.counted = counted;
  }

  resume(): void {
    if (this.over) return;
    const r = this.lane.zswap.pin(this.x, this.slot, this.place);
    if (r <= 0) {
      this.lane.park(this);
      return;
    }
    this.record = r;
    this.request.resume();
  }

  giveUp(): void {
    const { zswap } = this.lane;
    this.over = true;
    if (this.record !== 0) zswap.unpin(this.record);
    else zswap.slots.forgo(this.x, this.slot, this.place);
  }
}

export class PinWaits {
  private readonly lane: Lane;
  private readonly x: number;
  private readonly waits = new Map<DeviceRequest, PinWait>();

  constructor(lane: Lane, x: number) {
    this.lane = lane;
    this.x = x;
  }

  /** Pins the slot for a block of the request: the record (> 0), or an error, and then the request will be resumed. */
  pin(request: DeviceRequest, slot: number): number {
    const waited = this.waits.size > 0 ? this.waits.get(request) : undefined;
    if (waited !== undefined) {
      // Offered again without having been resumed: its place is kept.
      if (waited.record === 0) return EEXIST;
      this.waits.delete(request);
      return waited.record;
    }
    const r = this.lane.zswap.pin(this.x, slot);
    if (r <= 0) {
      const wait = new PinWait(this.lane, this.x, slot, request);
      this.waits.set(request, wait);
      this.lane.park(wait);
    }
    return r;
  }

  /** The request offers its block no more. */
  cancel(request: DeviceRequest): void {
    const wait = this.waits.get(request);
    if (wait === undefined) return;
    this.waits.delete(request);
    wait.giveUp();
  }
}
