/**
 * Lives of a server on a machine whose power can be lost: each begins on what the last one has left, checks what it reads
 * there, works, and ends. Then it is looked at from all sides (all_cuts.ts), and one loss of power is drawn for the next life.
 */
import type { NbdClient } from 'node-nbd-server';
import type { Test } from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import type { Random } from '../random.ts';
import { DeviceHistory, isWoven, type Version } from '../slot_history.ts';
import { Workload } from '../workload.ts';
import type { RunningServer, ServerOptions } from '../zswapd.ts';
import { type Cut, cutBehind, type Looked, lookAtAllCuts } from './all_cuts.ts';
import { realTime } from './clock.ts';
import type { LostState } from './lost.ts';
import type { Machine } from './machine.ts';

const PAGE = 4096;
const CLIENTS = 2;
const DEPTH = 4;

export interface LifeOptions {
  readonly durability: 'strict' | 'volatile';
  readonly set?: readonly string[];
  readonly operations: number;
  /** kill: in the middle of it. stop: cleanly. */
  readonly ending: 'kill' | 'stop';
  /** In the middle of it the guest swaps off, and on again. */
  readonly swapoff?: boolean;
  readonly server?: ServerOptions;
}

/** What the last life has left: what each slot may be read as after a loss of power, or all that was done before a kill. */
type Left = readonly (readonly Version[])[] | 'kill';

export class Lives {
  readonly machine: Machine;
  readonly history: DeviceHistory;
  readonly random: Random;
  /** A volatile server was there, and since then nobody has made the image whole. */
  mayRefuse = false;
  /** The last start of what there is would have been refused. */
  stale = false;
  #left: Left | null = null;

  constructor(machine: Machine, random: Random) {
    this.machine = machine;
    this.random = random;
    this.history = new DeviceHistory(Buffer.alloc(machine.o.size), realTime);
  }

  /** One life. What it has left can be lost, or goes on as after a kill. */
  async live(t: Test, o: LifeOptions): Promise<Looked> {
    const { machine } = this;
    const { set = [] } = o.server ?? {};
    const server = await machine.start({ ...o.server, set: [`durability=${o.durability}`, ...(o.set ?? []), ...set] });
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => server.connect()));
    await this.#check(t, clients[0]);
    if (o.durability === 'volatile') this.mayRefuse = true;
    const killed = await this.#work(server, clients, o);
    const { code } = await server.ended;
    if (o.ending === 'stop') t.equal(code, 0, 'a clean stop');
    await machine.recorded(server, killed);
    return this.#look(o.ending === 'stop', false);
  }

  #look(stopped: boolean, discards: boolean): Looked {
    const { machine, history, mayRefuse, stale } = this;
    const { log, from, image } = machine;
    const rules = { mayRefuse, stale, stopped, discards, decide: (state: LostState) => machine.decide(state) };
    const looked = lookAtAllCuts({ log, from, history, image, ...rules });
    machine.putBack();
    if (looked.faults.length > 0) looked.faults.push(`the calls are in ${machine.keepTrace()}`);
    if (stopped) {
      this.mayRefuse = false;
      this.stale = false;
    }
    return looked;
  }

  /** An operator says `image reset`. Of what is stale nothing may be served any more, and of the rest all or nothing. */
  async reset(t: Test): Promise<Looked> {
    const { machine, history, stale } = this;
    const pages = history.slots.map(() => Buffer.alloc(PAGE));
    history.reset(stale ? Buffer.alloc(machine.o.size) : machine.content());
    this.mayRefuse = true;
    await history.change(0, pages, false, async () => void t.match(await machine.reset(), { code: 0 }));
    this.#left = null;
    return this.#look(true, true);
  }

  /** Resolves with when it was killed, if it was. */
  async #work(server: RunningServer, clients: NbdClient[], o: LifeOptions): Promise<number | undefined> {
    const flushes = o.durability === 'strict';
    const { random, history } = this;
    const workload = (limit: number, onLimit: (w: Workload) => void): Workload => {
      const made: Workload = new Workload({ random, history, limit, flushes, onLimit: () => onLimit(made) });
      return made;
    };
    let at = clients;
    await workload(Math.floor(o.operations / 2), (made) => made.finish()).run(at, DEPTH);
    if (flushes) await history.flush(() => clients[0].flush());
    if (o.swapoff === true) {
      await Promise.all(at.map((client) => client.disconnect()));
      await this.#swapOff(server);
      at = await Promise.all(at.map(() => server.connect()));
    }
    let killed: number | undefined;
    const kill = (): void => {
      killed = realTime();
      server.child.kill('SIGKILL');
    };
    await workload(Math.ceil(o.operations / 2), (made) => (o.ending === 'kill' ? kill() : made.finish())).run(
      at,
      DEPTH,
    );
    if (o.ending === 'stop') server.child.kill('SIGTERM');
    return killed;
  }

  /** Discards all slots but that of the header. */
  async #swapOff(server: RunningServer): Promise<void> {
    const { history } = this;
    const zeros = history.slots.slice(1).map(() => Buffer.alloc(PAGE));
    const ask = (verb: string): Promise<unknown> => fetchControl(server.controlPath, `/${verb}?export=swap0`, 'POST');
    await history.change(1, zeros, false, async () => void (await ask('swapoff')));
    await ask('swapon');
  }

  /** Goes on with what a kill leaves, which is all that was done. */
  goOn(): void {
    this.#left = 'kill';
  }

  /** Loses power somewhere in the last life; with `atEnd` behind it. Answers with what a start will make of it. */
  loseAnywhere(atEnd = false): { cut: Cut; start: string } {
    const { machine, random, history } = this;
    const { log, from } = machine;
    const places = log.moments.filter(({ place }) => place >= from).map(({ place }) => place);
    // Half of them among the calls that change the disk: of the others there are many more.
    const changes = log.effects.filter(({ begin }) => begin >= from).map(({ begin }) => begin);
    const pick = random.chance(0.5) && changes.length > 0 ? changes : places;
    const cut = cutBehind(log, atEnd ? log.end : pick[random.below(pick.length)]);
    const { start } = machine.lose(cut, random);
    this.#left = history.slots.map((slot) => slot.allowed(cut.at, start === 'clean'));
    this.stale = start === 'refused';
    this.mayRefuse = this.stale;
    return { cut, start };
  }

  /** The next server discards what is stale, or takes it as it is. */
  takeStale(how: 'reset' | 'serve'): void {
    const { machine, history } = this;
    history.reset(how === 'serve' ? machine.content() : Buffer.alloc(machine.o.size));
    // What was discarded first is vouched for: it is zeros, and what is flushed on top of them.
    this.stale = how === 'serve';
    this.#left = null;
  }

  async #check(t: Test, client: NbdClient): Promise<void> {
    const { history } = this;
    const pages: Buffer[] = [];
    const wrong: number[] = [];
    for (const [i, slot] of history.slots.entries()) {
      const page = await client.read(i * PAGE, PAGE);
      pages.push(page);
      const right =
        this.#left === null
          ? page.equals(slot.newest)
          : this.#left === 'kill'
            ? slot.survived(page)
            : isWoven(page, this.#left[i]);
      if (!right) wrong.push(i);
    }
    t.same(wrong, [], 'slots that lost what was promised');
    if (Array.isArray(this.#left)) history.reset(Buffer.concat(pages));
    this.#left = null;
  }
}
