/**
 * A lane at work: takes sockets, serves NBD on them, and looks at its mailbox. The same object runs in a worker thread
 * and, in inline mode, on the main thread.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import { Connection, type Device, type ExportInfo, onPageMemory } from 'node-nbd-server';
import type { FaultsInForce, Gate } from '../faults/gate.ts';
import { countPages } from '../image/counted_image.ts';
import { openImage } from '../image/open.ts';
import { NODE_LOOP } from '../os/loop.ts';
import { isUnixSocket, peek, peerClosed, receive } from '../os/syscalls.ts';
import { THREAD_LANE0, THREAD_MAIN } from '../pool/limits.ts';
import { CTL } from '../pool/shared.ts';
import { chooseProtocols } from '../protocols/index.ts';
import { attend, wake } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';
import { Lane } from '../zswap/lane.ts';
import { LOOK_MS, PinWatch } from '../zswap/pin_watch.ts';
import { Zswap } from '../zswap/zswap.ts';
import { peekGoodbye, volumeOf } from './broken.ts';
import { LANE, laneCounters } from './lane_counters.ts';
import type { FromLane, ThreadData, ToLane } from './messages.ts';
import { mismatches } from './mismatches.ts';
import { givePlace, takePlace } from './places.ts';
import { leaveOut } from './process_care.ts';
import { ThreadFaults } from './thread_faults.ts';
import { nameThreads } from './thread_names.ts';
import { WireFaults } from './wire_faults.ts';

/**
 * A connection has no deadline of its own at a stop: `cut` is for all of them, counted and logged. Longer than stop.deadline
 * can be, and the longest that a timer takes.
 */
const CUT_BY_STOP_MS = 2 ** 31 - 1;

export class LaneRole {
  private readonly data: ThreadData;
  private readonly lane: Lane;
  private readonly zswap: Zswap;
  private readonly volumes: Map<string, Device>;
  /** By the number that the main thread has given them. */
  private readonly connections = new Map<number, Connection>();
  private readonly post: (message: FromLane) => void;
  private readonly faults: ThreadFaults;
  private gate: Gate | null = null;
  /** Of each connection, by its number. */
  private readonly wires = new Map<number, WireFaults>();
  private stopping = false;
  private closed = false;

  constructor(data: ThreadData, post: (message: FromLane) => void) {
    this.data = data;
    this.post = post;
    this.zswap = new Zswap(data.shared, chooseProtocols(data.settings.protocols), data.thread);
    const images = data.settings.images.map((image, x) =>
      countPages(openImage(image, data.shared.imageFlags[x]), data.traffic, data.thread, x),
    );
    this.zswap.onMismatch = mismatches(this.zswap, post);
    this.lane = new Lane(this.zswap, images, data.settings.lane.readsMax, NODE_LOOP);
    this.faults = new ThreadFaults({
      shared: data.shared,
      zswap: this.zswap,
      images,
      useImage: (x, image) => this.lane.useImage(x, image),
      name: `lane ${data.thread - THREAD_LANE0}`,
      inline: data.shared.settings.lanes === 0,
    });
    const BrokenVolume = volumeOf(data.settings.break);
    this.volumes = new Map(data.settings.exports.map((info, x) => [info.name, new BrokenVolume(this.lane, x, info)]));
    if (data.settings.dontDump) onPageMemory(leaveOut);
    this.observeGarbageCollection();
    if (data.thread === THREAD_LANE0) this.watchPins();
    void attend(
      data.shared.boxes,
      data.thread,
      () => this.lane.look(),
      () => this.closed,
    );
    post({ type: 'ready' });
  }

  receive(message: ToLane): void {
    if (message.type === 'socket') this.serve(message);
    else if (message.type === 'drop') this.drop(message.connection);
    else if (message.type === 'stop') this.stop();
    else if (message.type === 'faults') this.inject(message.faults);
    else this.cut();
  }

  private serve({ fd, listener, connection: n }: Extract<ToLane, { type: 'socket' }>): void {
    this.zswap.counters[LANE.connections]++;
    let x = -1;
    const wire = new WireFaults(n, fd);
    wire.apply(this.gate);
    const connection = new Connection({
      fd,
      exports: this.data.settings.exports,
      device: (info) => {
        const wanted = this.data.settings.exports.findIndex((one) => one.name === info.name);
        const volume = this.volume(info);
        if (!takePlace(this.data.places, listener, wanted)) {
          this.post({ type: 'crowded', x: wanted });
          throw new Error(`export ${info.name} has no place left for a further connection`);
        }
        x = wanted;
        wire.x = wanted;
        sync.add(this.data.shared.clients, x, 1);
        this.post({ type: 'chosen', listener, connection: n });
        return volume;
      },
      fence: {
        peerClosed: () => peerClosed(fd),
        peek: this.data.settings.break === 'fence' ? (into) => peekGoodbye(fd, into) : (into) => peek(fd, into),
        // The end of a unix socket is seen at once, so nothing has to be taken in to find it.
        ...(isUnixSocket(fd) ? {} : { receive: (into: Uint8Array) => receive(fd, into) }),
      },
      stopping: () => this.stopping,
      handshakeTimeoutMs: this.data.settings.lane.handshakeTimeoutMs,
      stopTimeoutMs: CUT_BY_STOP_MS,
      hangsUp: this.data.settings.lane.hangsUp,
      counters: laneCounters(this.zswap.counters),
      mishaps: wire.mishaps,
      onEnd: () => {
        this.connections.delete(n);
        this.wires.delete(n);
        if (x >= 0) {
          givePlace(this.data.places, listener, x);
          sync.add(this.data.shared.clients, x, -1);
        }
        // A stop waits for the clients of each export by itself.
        if (this.stopping) wake(this.data.shared.boxes, THREAD_MAIN);
        this.post({ type: 'ended', listener, connection: n });
        this.reportStopped();
      },
    });
    this.connections.set(n, connection);
    wire.connection = connection;
    this.wires.set(n, wire);
    this.post({ type: 'greeted' });
    if (this.stopping) connection.stop();
  }

  private inject(faults: FaultsInForce | null): void {
    this.gate = this.faults.apply(faults);
    for (const wire of this.wires.values()) wire.apply(this.gate);
  }

  private drop(n: number): void {
    const connection = this.connections.get(n);
    if (connection?.export === null) connection.destroy();
  }

  private volume(info: ExportInfo): Device {
    const volume = this.volumes.get(info.name);
    if (volume === undefined) throw new Error(`no volume for export ${info.name}`);
    return volume;
  }

  /** Running requests finish, new ones get ESHUTDOWN or none at all (hangsUp), and each connection ends when it is idle. */
  private stop(): void {
    this.stopping = true;
    for (const connection of [...this.connections.values()]) connection.stop();
    this.post({ type: 'stopping' });
    this.reportStopped();
  }

  /**
   * The stop has waited long enough. Requests that have not arrived whole are dropped, with nobody to answer them; what the
   * device was given runs out: a published page is drained like any other.
   */
  private cut(): void {
    for (const connection of [...this.connections.values()]) connection.destroy();
  }

  private reportStopped(): void {
    if (!this.stopping || this.connections.size > 0 || this.closed) return;
    this.closed = true;
    this.lane.close();
    this.post({ type: 'stopped' });
  }

  /**
   * One lane looks for all threads, and to the end of the process: the drain of a stop waits for pins as well. What is
   * thrown here stops the process, like any wait that does not end.
   */
  private watchPins(): void {
    const watch = new PinWatch(this.data.shared.slotTable);
    setInterval(() => {
      const stuck = watch.look(sync.load(this.data.shared.control, CTL.SCRUBBED));
      if (stuck === null) return;
      const { x, slot, report } = stuck;
      throw new Error(nameThreads(`${report}: slot ${slot} of export ${this.data.settings.exports[x].name}`));
    }, LOOK_MS);
  }

  private observeGarbageCollection(): void {
    const { counters } = this.zswap;
    const observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) counters[LANE.gc_ms] += entry.duration;
      counters[LANE.heap_used_bytes] = getHeapStatistics().used_heap_size;
    });
    observer.observe({ entryTypes: ['gc'] });
  }
}
