/**
 * A machine whose power can be lost: a disk with an image and its markers, and one real server after the other on it, under
 * strace. What the disk has after a loss is put in the place of what it had; the boot that markers tell of is another one then.
 */
import { closeSync, mkdirSync, openSync, readFileSync, readSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import { bootId } from '#src/image/marker.js';
import type { Random } from '../random.ts';
import { tempFolder } from '../tmp.ts';
import { type RunningServer, type ServerOptions, startServer } from '../zswapd.ts';
import type { Cut } from './all_cuts.ts';
import { DiskLog, filesIn } from './disk_log.ts';
import { draw, type LostState, nothingLost } from './lost.ts';
import { type Room, restore } from './restore.ts';
import { type Decision, decide } from './start_path.ts';
import { isWhole, straced } from './strace.ts';

/** Of a boot that is over; as long as any other. */
const OTHER_BOOT = '00000000-1111-4222-8333-444444444444';
const TAIL = 65_536;

export interface MachineOptions {
  /** Of the export. */
  readonly size: number;
  /** False: its disk keeps no extended attributes. */
  readonly attributes: boolean;
}

export class Machine {
  readonly image: string;
  readonly o: MachineOptions;
  log: DiskLog;
  /** Place in the log where the last server began. */
  from = 0;
  readonly #t: Pick<Test, 'teardown'>;
  readonly #room: Room;
  readonly #folder: string;
  readonly #state: string;
  readonly #trace: string;

  constructor(t: Pick<Test, 'teardown'>, o: MachineOptions) {
    this.#t = t;
    this.o = o;
    const folder = tempFolder(t);
    const [disk, state, shelf] = ['disk', 'state', 'shelf'].map((name) => join(folder, name));
    for (const one of [disk, state, shelf]) mkdirSync(one);
    this.#folder = folder;
    this.#state = state;
    this.#trace = join(folder, 'trace');
    this.image = join(disk, 'swap0.img');
    this.#room = { image: this.image, shelf, folders: [disk, state] };
    this.log = this.#newLog();
  }

  #newLog(): DiskLog {
    return new DiskLog(this.#room.folders, this.o.attributes);
  }

  #options(o: ServerOptions): ServerOptions {
    // A process that replaces itself starts twice, and its memory is no matter here.
    const care = ['process.ioFlusher=off', 'process.lockMemory=off', 'process.dontDump=off'];
    const env = { STATE_DIRECTORY: this.#state, ...o.env };
    const exports = [{ name: 'swap0', size: this.o.size, image: this.image }];
    return { folder: this.#folder, image: this.image, exports, ...o, set: [...care, ...(o.set ?? [])], env };
  }

  /** A server whose calls are recorded. It has to be ended, and `recorded` awaited, before anything else is done here. */
  async start(o: ServerOptions = {}): Promise<RunningServer> {
    rmSync(this.#trace, { force: true });
    this.from = Math.ceil(this.log.end);
    return startServer(this.#t, this.#options({ ...o, wrap: straced(this.#trace) }));
  }

  /** Adds to the log what the server did that has ended; `killed`: what it was at may be half done. */
  async recorded(server: RunningServer, killed: boolean): Promise<void> {
    while (!isWhole(this.#tail(), server.pid)) await delay(2);
    this.log.add(readFileSync(this.#trace, 'latin1'));
    if (killed) this.log.settle();
    this.#verify();
  }

  #tail(): string {
    const bytes = Buffer.alloc(TAIL);
    const fd = openSync(this.#trace, 'r');
    try {
      const from = Math.max(0, statSync(this.#trace).size - TAIL);
      return bytes.toString('latin1', 0, readSync(fd, bytes, 0, TAIL, from));
    } finally {
      closeSync(fd);
    }
  }

  /** What was recorded is all that was done. */
  #verify(): void {
    const real = filesIn(this.#room.folders, this.o.attributes);
    const told = nothingLost(this.log);
    const paths = (files: ReadonlyMap<string, unknown>): string => [...files.keys()].sort().join(', ');
    if (paths(real) !== paths(told)) throw new Error(`there are ${paths(real)}, and the log tells of ${paths(told)}`);
    for (const [path, { bytes, marks }] of real) {
      const one = told.get(path)!;
      if (!bytes.equals(one.bytes)) throw new Error(`${path} is not what the log tells of`);
      const same =
        marks.size === one.marks.size && [...marks].every(([name, mark]) => one.marks.get(name)?.equals(mark));
      if (!same) throw new Error(`the attributes of ${path} are not what the log tells of`);
    }
  }

  /** What a start would make of a state. Changes what is on the disk: it has to be put back, or lost. */
  decide(state: LostState): Decision {
    restore(this.#room, state, anotherBoot);
    process.env.STATE_DIRECTORY = this.#state;
    return decide(this.image, this.o.size);
  }

  /** Puts everything back that was done: after a kill the kernel has it all. */
  putBack(): void {
    restore(this.#room, nothingLost(this.log));
  }

  /** Loses power, and what there is then is all that lasts. Answers with what a start makes of it. */
  lose(cut: Cut, random: Random): Decision {
    const decision = this.decide(draw(this.log, cut.place, random));
    this.forget();
    return decision;
  }

  /** What is on the disk now is all that there is of before. */
  forget(): void {
    rmSync(join(this.#room.shelf, 'swap0.img'), { force: true });
    this.log = this.#newLog();
    this.from = 0;
  }

  /** Options of a start that is not recorded. */
  options(o: ServerOptions = {}): ServerOptions {
    return this.#options(o);
  }
}

function anotherBoot(text: Buffer): Buffer {
  return Buffer.from(text.toString('latin1').replaceAll(bootId() ?? OTHER_BOOT, OTHER_BOOT), 'latin1');
}
