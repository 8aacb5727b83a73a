/**
 * A machine whose power can be lost: a disk with an image and its markers, and one real server after the other on it, under
 * strace. What the disk has after a loss is put in the place of what it had; the boot that markers tell of is another one then.
 */
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, readSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import { bootId } from '#src/image/marker.js';
import { Child, type Ending } from '#src/scripts/support/child.js';
import type { Random } from '../random.ts';
import { tempFolder } from '../tmp.ts';
import { MAIN, type RunningServer, type ServerOptions, startServer } from '../zswapd.ts';
import { type Cut, describe } from './all_cuts.ts';
import { DiskLog, filesIn } from './disk_log.ts';
import { draw, type LostFile, type LostState, nothingLost } from './lost.ts';
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

  #begin(): void {
    rmSync(this.#trace, { force: true });
    this.from = Math.ceil(this.log.end);
  }

  /** A server whose calls are recorded. It has to be ended, and `recorded` awaited, before anything else is done here. */
  async start(o: ServerOptions = {}): Promise<RunningServer> {
    this.#begin();
    return startServer(this.#t, this.#options({ ...o, wrap: straced(this.#trace) }));
  }

  /** `zswapd image reset`, recorded. */
  async reset(): Promise<Ending> {
    this.#begin();
    const [program, ...args] = [...straced(this.#trace), process.execPath, MAIN, 'image', 'reset', this.image];
    const child = new Child(program, args, { env: { STATE_DIRECTORY: this.#state } });
    const ended = await child.ended;
    await this.recorded(child);
    return ended;
  }

  /** Adds to the log what a process did that has ended; `killed`: when it was, so that what it was at may be half done. */
  async recorded({ pid }: { readonly pid: number }, killed?: number): Promise<void> {
    while (!isWhole(this.#tail(), pid)) await delay(2);
    this.log.add(readFileSync(this.#trace, 'latin1'), killed);
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
      if (!bytes.equals(one.bytes))
        throw new Error(`${path} is not what the log tells of: ${this.#told(bytes, one)}; ${this.keepTrace()}`);
      const same =
        marks.size === one.marks.size && [...marks].every(([name, mark]) => one.marks.get(name)?.equals(mark));
      if (!same) throw new Error(`the attributes of ${path} are not what the log tells of`);
    }
  }

  /** The first place where a file differs from what is told of it, and all that is told of that. */
  #told(bytes: Buffer, { file, bytes: told }: LostFile): string {
    const at = bytes.findIndex((byte, i) => byte !== told[i]);
    const over = this.log.effects.filter(
      (one) => one.kind === 'bytes' && one.file === file && one.at <= at && at < one.at + one.bytes.length,
    );
    return `byte ${at} of ${bytes.length}: ${over.map(describe).join(', ')}`;
  }

  /** For whoever looks for a fault. */
  keepTrace(): string {
    const kept = join(tmpdir(), `zswapd-power-${process.pid}.strace`);
    copyFileSync(this.#trace, kept);
    return kept;
  }

  /** What a start would make of a state. Changes what is on the disk: it has to be put back, or lost. */
  decide(state: LostState): Decision {
    restore(this.#room, state, anotherBoot);
    process.env.STATE_DIRECTORY = this.#state;
    return decide(this.image, this.o.size);
  }

  /** Of the image, as it is on the disk. */
  content(): Buffer {
    return readFileSync(this.image);
  }

  /** Puts everything back that was done: after a kill the kernel has it all. */
  putBack(): void {
    restore(this.#room, nothingLost(this.log));
  }

  /** Loses power, and what there is then is all that lasts. Answers with what a start makes of it. */
  lose(cut: Cut, random: Random): Decision {
    const decision = this.decide(draw(this.log, cut.place, random));
    rmSync(join(this.#room.shelf, 'swap0.img'), { force: true });
    this.log = this.#newLog();
    this.from = 0;
    return decision;
  }

  /** Options of a start that is not recorded. */
  options(o: ServerOptions = {}): ServerOptions {
    return this.#options(o);
  }
}

function anotherBoot(text: Buffer): Buffer {
  return Buffer.from(text.toString('latin1').replaceAll(bootId() ?? OTHER_BOOT, OTHER_BOOT), 'latin1');
}
