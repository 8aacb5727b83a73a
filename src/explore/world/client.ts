/**
 * A client's requests, run by the same state machine as in service (Volume over Lane over Zswap). What NBD's engine does
 * there (look at the fence before each unit, repeat after WAIT), Client does here.
 */
import { type DeviceRequest, OK, TAKEN, WAIT } from 'node-nbd-server';
import { PAGE_SIZE } from '../../pool/limits.ts';
import * as sync from '../../shm/sync.ts';
import { Volume } from '../../zswap/volume.ts';
import { STORED, type Zswap } from '../../zswap/zswap.ts';
import type { Baton } from '../baton.ts';
import { type Env, LaneLoop } from '../loop.ts';
import type { Operation } from '../scenarios/scenario.ts';
import * as shadow from './acknowledged.ts';
import { describePage, fillPage, pageAt, versionOf, type World } from './world.ts';

const X = 0;

/** A thread has one client at most. */
const page = new Uint8Array(PAGE_SIZE);

/**
 * The zswap of a client's lane. What was not published when its connection ended is dropped. A page that is stored later could
 * still be harmless, if whatever is newer waits for its pin; the rule holds all the same, so a store after the end is a finding
 * itself. Asked plainly, which is no step: a connection ends only while its lane waits, so the answer stays as it is.
 */
export function watchStores(zswap: Zswap, { connections }: World, baton: Baton, connection: number): Zswap {
  const store = (...stored: Parameters<Zswap['store']>): number => {
    const result = zswap.store(...stored);
    if (result === STORED && connections[connection * 2] === 1)
      baton.violate('late store', `slot ${stored[1]} is stored after its connection was given up`);
    return result;
  };
  return Object.assign(Object.create(zswap) as Zswap, { store });
}

/** A client's requests over one connection, one after the other. */
export class Client {
  private readonly env: Env;
  private readonly connection: number;
  private readonly loop: LaneLoop;
  private readonly volume: Volume;

  constructor(env: Env, connection: number) {
    this.env = env;
    this.connection = connection;
    this.loop = new LaneLoop(env);
    const info = { name: 'swap0', description: '', size: env.zswap.settings.exports[X].pages * PAGE_SIZE, flags: 0 };
    this.volume = new Volume(this.loop.lane, X, {
      ...info,
      minBlock: 1,
      preferredBlock: PAGE_SIZE,
      maxBlock: PAGE_SIZE,
    });
  }

  run(operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (operation.op === 'give-up') this.giveUp(operation.connection);
      else if (operation.op === 'allocate') this.allocate(operation.slot, operation.connection);
      else {
        this.begin();
        if (operation.op === 'write') this.write(operation.slot, operation.version);
        else if (operation.op === 'read') this.read(operation.slot);
        else if (operation.op === 'flush') this.flush(operation.slot);
        else this.trim(operation.first, operation.end);
        this.pause();
      }
    }
  }

  private write(slot: number, version: number): void {
    const { shadow: s } = this.env.world;
    if (this.fenced()) return;
    shadow.beginWrite(s, slot, version, this.connection);
    fillPage(page, slot, version);
    let resumed = false;
    const request = this.request(() => {
      resumed = true;
    });
    for (;;) {
      if (this.fenced()) return;
      const result = this.volume.write(request, slot, page, 0);
      if (result === WAIT) {
        this.until(() => resumed);
        resumed = false;
        continue;
      }
      if (result === TAKEN) this.until(() => request.settled);
      if (!this.fenced()) this.acknowledge(slot, version, result === TAKEN ? request.errno : result);
      return;
    }
  }

  private acknowledge(slot: number, version: number, errno: number): void {
    const { baton } = this.env;
    if (errno !== OK) this.allowError(`a request on slot ${slot}`, errno);
    shadow.endWrite(this.env.world.shadow, slot, version, this.connection, errno === 0);
    const what = version === 0 ? `trim of slot ${slot}` : `write of version ${version} to slot ${slot}`;
    baton.note(`${what} is ${errno === 0 ? 'acknowledged' : `answered with error ${errno}`}`);
  }

  private allowError(what: string, errno: number): void {
    if (this.env.scenario.errors?.includes(errno) === true) return;
    this.env.baton.violate('lost data', `${what} is answered with error ${errno}`);
  }

  private read(slot: number): void {
    const { world, baton } = this.env;
    shadow.beginRead(world.shadow, baton.me, slot);
    if (this.volume.readNow(slot, 1, page, 0) === 0) {
      const request = this.request(() => undefined);
      this.volume.read(request, slot, 1, page, 0);
      this.until(() => request.settled);
      if (request.errno !== 0) {
        if (this.env.scenario.mayLose !== true)
          baton.violate('lost data', `reading slot ${slot} answers error ${request.errno}`);
        shadow.endRead(world.shadow, baton.me, 0);
        return;
      }
    }
    const right = world.shadow.seen[baton.me];
    if (!shadow.endRead(world.shadow, baton.me, versionOf(page, slot))) {
      const wanted = shadow.rightVersions(right);
      baton.violate('stale data', `reading slot ${slot} gives ${describePage(page)}, acknowledged is ${wanted}`);
    }
    baton.note(`reads slot ${slot}: ${describePage(page)}`);
  }

  /** What was right when the FLUSH was sent, or became right since, is what a kill at its answer may leave. */
  private flush(slot: number): void {
    const { world, baton } = this.env;
    shadow.beginRead(world.shadow, baton.me, slot);
    const request = this.request(() => undefined);
    this.volume.flush(request);
    this.until(() => request.settled);
    if (request.errno !== 0) {
      this.allowError('a FLUSH', request.errno);
      shadow.endRead(world.shadow, baton.me, 0);
      return;
    }
    page.set(pageAt(world.image.durable, slot));
    const right = world.shadow.seen[baton.me];
    if (!shadow.endRead(world.shadow, baton.me, versionOf(page, slot))) {
      const has = `the disk has ${describePage(page)}`;
      baton.violate('lost data', `a FLUSH is answered, and of slot ${slot} ${has}, not ${shadow.rightVersions(right)}`);
    }
    shadow.flushed(world.shadow, slot, right);
    baton.note('flush is answered');
  }

  private trim(first: number, end: number): void {
    const { shadow: s } = this.env.world;
    if (this.fenced()) return;
    for (let slot = first; slot < end; slot++) shadow.beginWrite(s, slot, 0, this.connection);
    const request = this.request(() => undefined);
    this.volume.trim(request, first * PAGE_SIZE, (end - first) * PAGE_SIZE);
    this.until(() => request.settled);
    if (this.fenced()) return;
    for (let slot = first; slot < end; slot++) this.acknowledge(slot, 0, request.errno);
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
    connections[other * 2] = 1;
    this.env.baton.note(`connection ${other} is given up`);
    shadow.abandon(s, other);
  }

  private allocate(slot: number, trimmer: number): void {
    const [users] = this.env.zswap.shared.users.words;
    for (;;) {
      const word = sync.load(users, slot >>> 5);
      if (((word >>> (slot & 31)) & 1) === 0) break;
      sync.retry(users, slot >>> 5, word);
    }
    shadow.endWrite(this.env.world.shadow, slot, 0, trimmer, true);
    this.env.baton.note(`slot ${slot} is free`);
  }

  private fenced(): boolean {
    return sync.load(this.env.world.connections, this.connection * 2) === 1;
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

  private request(resume: () => void): DeviceRequest & { settled: boolean; errno: number } {
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
