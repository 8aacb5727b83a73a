/**
 * A client's requests, run by the same state machine as in service (Volume over Lane over Zswap). What NBD's engine does
 * there (look at the fence before each unit, repeat after WAIT), Client does here.
 */
import { type DeviceRequest, OK, TAKEN, WAIT } from 'node-nbd-server/device';
import { PAGE_SIZE } from '../../pool/limits.ts';
import * as sync from '../../shm/sync.ts';
import { isKnown } from '../../zswap/checksums.ts';
import { Volume } from '../../zswap/volume.ts';
import { VOUCH } from '../../zswap/vouch.ts';
import { type Env, LaneLoop } from '../loop.ts';
import type { Operation } from '../scenarios/scenario.ts';
import * as shadow from './acknowledged.ts';
import { tellTime } from './agent.ts';
import { CUT, GIVEN_UP } from './late_stores.ts';
import { describePage, fillPage, fillPart, numberOf, pageAt, READ_MAX, versionOf } from './world.ts';

/** A thread has one client at most. */
const page = new Uint8Array(PAGE_SIZE);
const pages = new Uint8Array(READ_MAX * PAGE_SIZE);

/** No result of a block: its connection has ended. */
const ENDED = -100;

type Request = Exclude<Operation, { op: 'give-up' | 'cut' | 'allocate' | 'event' }>;
type Waiting = DeviceRequest & { settled: boolean; errno: number };

/** A client's requests over one connection, one after the other. */
export class Client {
  private readonly env: Env;
  private readonly connection: number;
  private readonly x: number;
  private readonly loop: LaneLoop;
  private readonly volume: Volume;

  constructor(env: Env, connection: number, x: number) {
    this.x = x;
    this.env = env;
    this.connection = connection;
    this.loop = new LaneLoop(env);
    const info = { name: `swap${x}`, description: '', size: env.zswap.settings.exports[x].pages * PAGE_SIZE, flags: 0 };
    this.volume = new Volume(this.loop.lane, x, {
      ...info,
      minBlock: 1,
      preferredBlock: PAGE_SIZE,
      maxBlock: PAGE_SIZE,
    });
  }

  run(operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (operation.op === 'give-up') this.giveUp(operation.connection);
      else if (operation.op === 'cut') this.cut(operation.connection);
      else if (operation.op === 'event') this.event(operation.event);
      else if (operation.op === 'allocate') this.allocate(operation.slot, operation.connection);
      else {
        this.begin();
        this.carryOut(operation);
        this.pause();
      }
    }
  }

  private carryOut(operation: Request): void {
    if (operation.op === 'write') this.write(operation.slot, operation.slot + 1, operation.version);
    else if (operation.op === 'write-slots') this.write(operation.first, operation.end, operation.version);
    else if (operation.op === 'write-part') this.writePart(operation.slot);
    else if (operation.op === 'read') this.read(operation.slot, operation.slot + 1);
    else if (operation.op === 'read-slots') this.read(operation.first, operation.end);
    else if (operation.op === 'flush') this.flush(operation.slot);
    else if (operation.op === 'zero') this.zero(operation);
    else this.trim(operation.first, operation.end);
  }

  /** One WRITE: block by block as they arrive, and answered when all of them are done. */
  private write(first: number, end: number, version: number): void {
    const { shadow: s } = this.env.world;
    if (this.fenced()) return;
    for (let slot = first; slot < end; slot++) shadow.beginWrite(s, this.of(slot), version, this.connection);
    const taken: Waiting[] = [];
    let errno: number = OK;
    for (let slot = first; slot < end; slot++) {
      fillPage(page, this.of(slot), version);
      const result = this.send((request) => this.volume.write(request, slot, page, 0), taken);
      if (result === ENDED) return;
      if (errno === OK) errno = result;
    }
    this.until(() => taken.every(({ settled }) => settled));
    if (this.fenced()) return;
    errno = taken.find((request) => request.errno !== OK)?.errno ?? errno;
    for (let slot = first; slot < end; slot++) this.acknowledge(slot, version, errno);
  }

  private writePart(slot: number): void {
    const { shadow: s } = this.env.world;
    if (this.fenced()) return;
    shadow.beginPart(s, this.of(slot));
    fillPart(page, this.of(slot));
    const taken: Waiting[] = [];
    const result = this.send((request) => this.volume.writePart(request, slot, 0, PAGE_SIZE / 2, page, 0), taken);
    this.until(() => taken.every(({ settled }) => settled));
    this.endPart(slot, taken[0]?.errno ?? result);
  }

  private endPart(slot: number, errno: number): void {
    if (errno !== OK) this.allowError(`a WRITE of a part of slot ${slot}`, errno);
    shadow.endPart(this.env.world.shadow, this.of(slot), errno === OK);
    this.env.baton.note(`part of slot ${slot} is ${errno === OK ? 'acknowledged' : `answered with error ${errno}`}`);
  }

  /** A block, again while it has to wait. OK or an error; OK also if it was taken, and ENDED if the connection has ended. */
  private send(call: (request: Waiting) => number, taken: Waiting[]): number {
    let resumed = false;
    const request = this.request(() => {
      resumed = true;
    });
    for (;;) {
      if (this.fenced()) {
        this.volume.cancel(request);
        return ENDED;
      }
      const result = call(request);
      if (result === TAKEN) taken.push(request);
      if (result !== WAIT) return result === TAKEN ? OK : result;
      this.until(() => resumed);
      resumed = false;
    }
  }

  private acknowledge(slot: number, version: number, errno: number): void {
    const { baton } = this.env;
    if (errno !== OK) this.allowError(`a request on slot ${slot}`, errno);
    shadow.endWrite(this.env.world.shadow, this.of(slot), version, this.connection, errno === 0);
    const what = version === 0 ? `trim of slot ${slot}` : `write of version ${version} to slot ${slot}`;
    baton.note(`${what} is ${errno === 0 ? 'acknowledged' : `answered with error ${errno}`}`);
  }

  private allowError(what: string, errno: number): void {
    if (this.env.scenario.errors?.includes(errno) === true) return;
    this.env.baton.violate('lost data', `${what} is answered with error ${errno}`);
  }

  private read(first: number, end: number): void {
    const { baton } = this.env;
    const { shadow: s } = this.env.world;
    for (let slot = first; slot < end; slot++) shadow.beginRead(s, baton.me, this.of(slot), slot - first);
    const now = this.volume.readNow(first, end - first, pages, 0);
    if (first + now < end) {
      const request = this.request(() => undefined);
      this.volume.read(request, first + now, end - first - now, pages, now * PAGE_SIZE);
      this.until(() => request.settled);
      if (request.errno !== 0) {
        if (this.env.scenario.mayLose !== true)
          baton.violate('lost data', `reading slot ${first} answers error ${request.errno}`);
        for (let slot = first; slot < end; slot++) shadow.endRead(s, baton.me, 0, slot - first);
        return;
      }
    }
    for (let slot = first; slot < end; slot++) this.hasRead(slot, slot - first);
  }

  private hasRead(slot: number, which: number): void {
    const { world, baton } = this.env;
    const got = pages.subarray(which * PAGE_SIZE, (which + 1) * PAGE_SIZE);
    const right = shadow.rightOf(world.shadow, baton.me, which);
    if (!shadow.endRead(world.shadow, baton.me, versionOf(got, this.of(slot)), which)) {
      const wanted = shadow.rightVersions(right);
      // It can tell that this is wrong, and has not looked, or has looked at another page.
      const kind = isKnown(this.env.zswap.shared, this.x, slot) ? 'unseen mismatch' : 'stale data';
      baton.violate(kind, `reading slot ${slot} gives ${describePage(got)}, acknowledged is ${wanted}`);
    }
    baton.note(`reads slot ${slot}: ${describePage(got)}`);
  }

  /** What was right when the FLUSH was sent, or became right since, is what a kill at its answer may leave. */
  private flush(slot: number): void {
    const { world, baton, zswap } = this.env;
    shadow.beginRead(world.shadow, baton.me, this.of(slot));
    const { [this.x]: foundLost } = world.shadow.foundLost;
    const request = this.request(() => undefined);
    this.volume.flush(request);
    this.until(() => request.settled);
    if (request.errno !== 0) {
      this.allowError('a FLUSH', request.errno);
      shadow.endRead(world.shadow, baton.me, 0);
      return;
    }
    if (foundLost !== 0 && zswap.shared.vouch[this.x] !== VOUCH.NO)
      baton.violate('lost data', 'a FLUSH is answered, and after a kill the marker vouches for a page that was lost');
    page.set(pageAt(world.image.durable, this.of(slot)));
    const right = shadow.rightOf(world.shadow, baton.me);
    if (!shadow.endRead(world.shadow, baton.me, versionOf(page, this.of(slot)))) {
      const has = `the disk has ${describePage(page)}`;
      baton.violate('lost data', `a FLUSH is answered, and of slot ${slot} ${has}, not ${shadow.rightVersions(right)}`);
    }
    shadow.flushed(world.shadow, this.of(slot), right);
    baton.note('flush is answered');
  }

  private trim(first: number, end: number): void {
    const { shadow: s } = this.env.world;
    if (this.fenced()) return;
    for (let slot = first; slot < end; slot++) shadow.beginWrite(s, this.of(slot), 0, this.connection);
    const request = this.request(() => undefined);
    this.volume.trim(request, first * PAGE_SIZE, (end - first) * PAGE_SIZE);
    this.until(() => request.settled);
    if (this.fenced()) return;
    for (let slot = first; slot < end; slot++) this.acknowledge(slot, 0, request.errno);
  }

  private zero({ first, end, half, noHole }: Extract<Operation, { op: 'zero' }>): void {
    const { shadow: s } = this.env.world;
    for (let slot = first; slot < end; slot++) shadow.beginWrite(s, this.of(slot), 0, this.connection);
    if (half) shadow.beginPart(s, this.of(end));
    const request = this.request(() => undefined);
    this.volume.zero(request, first * PAGE_SIZE, (end - first + (half ? 0.5 : 0)) * PAGE_SIZE, noHole);
    this.until(() => request.settled);
    if (half) this.endPart(end, request.errno);
    for (let slot = first; slot < end; slot++) this.acknowledge(slot, 0, request.errno);
  }

  /**
   * The connection of `other` ends, whatever its lane is at. A unit that asked before goes on, and holds its slots: newer data
   * comes after it. So what it still publishes is no finding by itself; what is read in the end is.
   */
  private cut(other: number): void {
    const { connections, shadow: s } = this.env.world;
    sync.store(connections, other * 2, CUT);
    this.env.baton.note(`connection ${other} ends`);
    shadow.abandon(s, other);
  }

  /**
   * A request of `other` got no answer in time: the client ends that connection, and sends again what is unanswered. Its
   * timeout is seconds, and a lane that runs is between its look at the fence and the end of its unit for microseconds; so
   * a connection ends when its lane waits, not while it runs a unit.
   */
  private giveUp(other: number): void {
    const { connections, shadow: s } = this.env.world;
    sync.retry(connections, other * 2 + 1, 1);
    // A plain store: the retry before it and this are one step, because an end of a connection is no operation of ours.
    connections[other * 2] = GIVEN_UP;
    this.env.baton.note(`connection ${other} is given up`);
    shadow.abandon(s, other);
  }

  private event(number: number): void {
    sync.store(this.env.world.clock, number, tellTime(this.env.world));
    this.env.baton.note(`event ${number} happens in the guest`);
  }

  private allocate(slot: number, trimmer: number): void {
    const [users] = this.env.zswap.shared.users.words;
    for (;;) {
      const word = sync.load(users, slot >>> 5);
      if (((word >>> (slot & 31)) & 1) === 0) break;
      sync.retry(users, slot >>> 5, word);
    }
    shadow.endWrite(this.env.world.shadow, this.of(slot), 0, trimmer, true);
    this.env.baton.note(`slot ${slot} is free`);
  }

  private of(slot: number): number {
    return numberOf(this.x, slot);
  }

  private fenced(): boolean {
    return sync.load(this.env.world.connections, this.connection * 2) !== 0;
  }

  private begin(): void {
    sync.store(this.env.world.connections, this.connection * 2 + 1, 1);
  }

  private pause(): void {
    sync.store(this.env.world.connections, this.connection * 2 + 1, 0);
  }

  private until(ready: () => boolean): void {
    this.loop.until(
      ready,
      () => this.pause(),
      () => this.begin(),
    );
  }

  private request(resume: () => void): Waiting {
    return {
      settled: false,
      errno: 0,
      fenced: () => this.fenced(),
      settle(errno: number): void {
        this.settled = true;
        this.errno = errno;
      },
      resume,
    };
  }
}
