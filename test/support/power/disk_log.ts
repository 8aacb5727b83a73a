/**
 * What calls do to the files of some folders: effects in the order in which they began, and the syncs that make them last.
 *
 * The rules are POSIX's, which promise less than any one file system does. Bytes, holes and the size of a file last from the
 * end of an fdatasync or fsync of it that began after they were done, attributes from that of an fsync; and a name that was
 * made, replaced or removed from that of an fsync of its folder. Nothing else makes anything last: not O_DIRECT, for disks have
 * caches, and not the sync of another file, though ext4's journal takes a folder along with it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readAttributes } from './attributes.ts';
import { bytesOf, type Call, type Moment, pathOf, readTrace } from './strace.ts';

/** One file, whatever its name is. */
export interface DiskFile {
  readonly bytes: Buffer;
  readonly marks: ReadonlyMap<string, Buffer>;
}

interface Span {
  readonly begin: number;
  end: number;
  /** From here on it lasts: the end of the first sync that covers it. */
  safe: number;
}

export interface BytesEffect extends Span {
  readonly kind: 'bytes';
  readonly file: DiskFile;
  readonly at: number;
  bytes: Buffer;
  /** It was under way at a kill, or is what strace made of one: several threads may be seen in the call of one of them. */
  settled?: true;
}

export interface SizeEffect extends Span {
  readonly kind: 'size';
  readonly file: DiskFile;
  readonly size: number;
}

export interface MarkEffect extends Span {
  readonly kind: 'mark';
  readonly file: DiskFile;
  readonly name: string;
  readonly value: Buffer | null;
}

/** Names in one folder, all at one time: a rename is never half done. */
export interface NamesEffect extends Span {
  readonly kind: 'names';
  readonly folder: string;
  readonly names: readonly (readonly [path: string, file: DiskFile | null])[];
}

export type Effect = BytesEffect | SizeEffect | MarkEffect | NamesEffect;
/** Without its times. */
type What = { [K in Effect['kind']]: Omit<Extract<Effect, { kind: K }>, keyof Span> }[Effect['kind']];

interface Sync {
  readonly begin: number;
  readonly end: number;
  readonly of: DiskFile | string;
  readonly dataOnly: boolean;
}

const NEVER = Number.POSITIVE_INFINITY;
/** Calls that change nothing which has to be told of: a range that is written back is not known to be on the disk. */
const IGNORED = ['sync_file_range'];

export class DiskLog {
  readonly folders: readonly string[];
  /** By path, when the log began: all of it lasts. */
  readonly before: ReadonlyMap<string, DiskFile>;
  readonly effects: Effect[] = [];
  readonly moments: Moment[] = [];
  /** By path, after all that has begun. */
  readonly now: Map<string, DiskFile>;
  readonly #syncs: Sync[] = [];
  readonly #attributes: boolean;
  /** Whose attribute was changed last, and nothing of it since. */
  #marked: DiskFile | null = null;
  /** By descriptor: where the next write without a place goes. */
  readonly #positions = new Map<string, number>();

  /**
   * Begins with what there is in the folders; nobody changes that but the processes whose traces are added. Without
   * `attributes` it is a disk that keeps none, and where a server would not have synced them.
   */
  constructor(folders: readonly string[], attributes = true) {
    this.folders = folders;
    this.#attributes = attributes;
    this.before = filesIn(folders, attributes);
    this.now = new Map(this.before);
  }

  /** Of all that was added: no place beyond it has been come to. */
  get end(): number {
    return (this.moments.at(-1)?.place ?? -1) + 1;
  }

  /** Adds what a process did that has ended, or was killed at a moment. */
  add(trace: string, killed?: number): void {
    const { calls, moments } = readTrace(trace, Math.ceil(this.end), killed);
    this.#positions.clear();
    for (const moment of moments) this.moments.push(moment);
    for (const call of calls) this.#take(call);
    for (const effect of this.effects) effect.safe = Math.min(effect.safe, this.#safe(effect));
    if (killed !== undefined) this.#settle();
  }

  /** What had not returned when its process was killed is done or not, as the folders tell, and over. */
  #settle(): void {
    const real = filesIn(this.folders, false);
    const kept = this.effects.filter((effect) => {
      if (effect.end !== NEVER) return true;
      effect.end = this.end - 0.25;
      if (effect.kind === 'bytes') {
        const path = this.#nameOf(effect.file);
        const from = real.get(path)?.bytes ?? Buffer.alloc(0);
        effect.settled = true;
        effect.bytes = Buffer.from(from.subarray(effect.at, effect.at + effect.bytes.length));
        return true;
      }
      if (effect.kind !== 'names') throw new Error(`a ${effect.kind} had not ended when the process was killed`);
      return effect.names.every(([path, file]) => real.has(path) === (file !== null));
    });
    this.effects.splice(0, this.effects.length, ...kept);
  }

  #nameOf(file: DiskFile): string {
    for (const [path, one] of this.now) if (one === file) return path;
    throw new Error('a file without a name was being written');
  }

  #safe(effect: Effect): number {
    const of = effect.kind === 'names' ? effect.folder : effect.file;
    let safe = NEVER;
    for (const sync of this.#syncs) {
      if (sync.of !== of || sync.begin < effect.end || (sync.dataOnly && effect.kind === 'mark')) continue;
      safe = Math.min(safe, sync.end);
    }
    return safe;
  }

  #take(call: Call): void {
    const { name, args, result } = call;
    if (name === 'io_uring_setup' && result !== null && result >= 0)
      throw new Error('io_uring is out of sight of strace');
    if ((result !== null && result < 0) || IGNORED.includes(name)) return;
    if (name.startsWith('open')) this.#open(call);
    else if (name === 'rename') this.#rename(call);
    else if (name === 'unlink') this.#unlink(call);
    else {
      const path = pathOf(args[0]);
      if (path !== null && !args[0].startsWith('AT_')) {
        if (this.#isOurs(path)) this.#ofDescriptor(call, path);
      } else if (args.some((arg) => this.#isOurs(bytesOf(arg)?.toString() ?? ''))) {
        throw new Error(`${name} is not known here`);
      }
    }
  }

  #isOurs(path: string): boolean {
    return this.folders.some((folder) => path === folder || path.startsWith(`${folder}/`));
  }

  #push(call: Call, what: What): void {
    this.#marked = what.kind === 'mark' ? what.file : null;
    if (what.kind === 'mark' && !this.#attributes) return;
    this.effects.push({ ...what, begin: call.begin, end: call.end, safe: NEVER } as Effect);
  }

  #rename({ args, ...call }: Call): void {
    const [from, to] = args.map((arg) => bytesOf(arg)?.toString() ?? '');
    if (!this.#isOurs(from) && !this.#isOurs(to)) return;
    if (dirname(from) !== dirname(to)) throw new Error(`${from} was renamed to another folder`);
    this.#name({ args, ...call }, [to, this.#file(from)], [from, null]);
  }

  #unlink(call: Call): void {
    const path = bytesOf(call.args[0])?.toString() ?? '';
    if (this.#isOurs(path)) this.#name(call, [path, null]);
  }

  #name(call: Call, ...names: NamesEffect['names']): void {
    this.#push(call, { kind: 'names', folder: dirname(names[0][0]), names });
    for (const [path, file] of names) {
      if (file === null) this.now.delete(path);
      else this.now.set(path, file);
    }
  }

  #open(call: Call): void {
    const { name, args, result } = call;
    if (name !== 'openat') throw new Error(`${name} is not known here`);
    const path = bytesOf(args[1])?.toString() ?? '';
    if (!this.#isOurs(path)) return;
    this.#positions.set(String(result), 0);
    if (!args[2].includes('O_CREAT') && !args[2].includes('O_TRUNC')) return;
    const found = this.now.get(path);
    if (found === undefined) this.#name(call, [path, { bytes: Buffer.alloc(0), marks: new Map() }]);
    else if (args[2].includes('O_TRUNC')) this.#push(call, { kind: 'size', file: found, size: 0 });
  }

  #file(path: string): DiskFile {
    const file = this.now.get(path);
    if (file === undefined) throw new Error(`${path} was changed, and nothing tells of how it came there`);
    return file;
  }

  #ofDescriptor(call: Call, path: string): void {
    const { name, args, begin, end, result } = call;
    if (name === 'fsync' || name === 'fdatasync') {
      const of = this.folders.includes(path) ? path : this.#file(path);
      const isOfMark = !this.#attributes && this.#marked === of;
      if (result !== null && !isOfMark) this.#syncs.push({ begin, end, of, dataOnly: name === 'fdatasync' });
      return;
    }
    const file = this.#file(path);
    const number = (at: number): number => Number(args[at]);
    if (name === 'ftruncate') this.#push(call, { kind: 'size', file, size: number(1) });
    else if (name === 'fallocate') this.#fallocate(call, file);
    else if (name === 'fsetxattr' || name === 'fremovexattr') {
      const value = name === 'fsetxattr' ? (bytesOf(args[2]) ?? Buffer.alloc(0)) : null;
      this.#push(call, { kind: 'mark', file, name: `${bytesOf(args[1])}`, value });
    } else if (name === 'pwrite64') this.#write(call, file, bytesOf(args[1]), number(3));
    else if (name === 'pwritev') this.#write(call, file, vectorOf(args[1]), number(3));
    else if (name === 'write' || name === 'writev') {
      const fd = args[0].slice(0, args[0].indexOf('<'));
      const at = this.#positions.get(fd) ?? 0;
      this.#positions.set(fd, at + (result ?? 0));
      this.#write(call, file, name === 'write' ? bytesOf(args[1]) : vectorOf(args[1]), at);
    } else throw new Error(`${name} of ${path} is not known here`);
  }

  #write(call: Call, file: DiskFile, bytes: Buffer | null, at: number): void {
    const taken = (bytes ?? Buffer.alloc(0)).subarray(0, call.result ?? undefined);
    if (taken.length > 0) this.#push(call, { kind: 'bytes', file, at, bytes: taken });
  }

  #fallocate(call: Call, file: DiskFile): void {
    const [, mode, at, length] = call.args;
    if (!mode.includes('FALLOC_FL_PUNCH_HOLE')) throw new Error(`fallocate ${mode} is not known here`);
    this.#push(call, { kind: 'bytes', file, at: Number(at), bytes: Buffer.alloc(Number(length)) });
  }
}

/** Of all views of a call. */
function vectorOf(arg: string): Buffer {
  return Buffer.concat([...arg.matchAll(/iov_base=("[^"]*")/g)].map(([, text]) => bytesOf(text) ?? Buffer.alloc(0)));
}

/** The files that there are, by path. */
export function filesIn(folders: readonly string[], attributes: boolean): Map<string, DiskFile> {
  const paths = folders.flatMap((folder) =>
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => join(folder, name)),
  );
  return new Map(
    paths.map((path) => [path, { bytes: readFileSync(path), marks: attributes ? readAttributes(path) : new Map() }]),
  );
}
