// The agent's part of tracefs: an instance with a buffer and a clock of its own, and probes in a group of their own.
// Invariant: both are gone after close() and after an open() that failed, and so is the mount where we made it. Of an agent that was
// killed the instance and the probes go at the next open().
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type EventFormat, parseFormat } from './event_format.ts';
import { GROUP, type Probe } from './probes.ts';
import { codeOf, Problem, textOf } from './problem.ts';

const TRACING = '/sys/kernel/tracing';

export class Tracefs {
  readonly root: string;
  readonly instance: string;
  private readonly probed: string[] = [];

  private readonly isMount: boolean;

  private constructor(root: string, isMount: boolean) {
    this.root = root;
    this.isMount = isMount;
    this.instance = join(root, 'instances', GROUP);
  }

  /** Makes the instance. `bufferKib`: for each processor. */
  static open(bufferKib: number, root = TRACING): Tracefs {
    const own = new Tracefs(root, mount(root));
    try {
      own.removeStale();
      own.make(bufferKib);
    } catch (error) {
      own.unmount();
      throw error;
    }
    return own;
  }

  private make(bufferKib: number): void {
    try {
      mkdirSync(this.instance);
    } catch (error) {
      if (codeOf(error) === 'EEXIST') throw new Problem('another agent is just starting here');
      throw new Problem(`${this.instance} can not be made: ${textOf(error)}`);
    }
    try {
      this.write('trace_clock', 'mono');
      this.write('buffer_size_kb', String(bufferKib));
    } catch (error) {
      rmdirSync(this.instance);
      throw error;
    }
  }

  /** An instance whose files are open can't be removed, so one that can be is nobody's. */
  private removeStale(): void {
    try {
      rmdirSync(this.instance);
    } catch (error) {
      if (codeOf(error) === 'EBUSY') throw new Problem('another agent runs here');
      if (codeOf(error) !== 'ENOENT') throw new Problem(`${this.instance} can not be removed: ${textOf(error)}`);
    }
    const all = join(this.root, 'kprobe_events');
    if (!existsSync(all)) return;
    for (const [, name] of readFileSync(all, 'utf8').matchAll(new RegExp(`^p\\S*:${GROUP}/(\\w+) `, 'gm'))) {
      this.removeProbe(name);
    }
  }

  /** Throws a Problem where the kernel does not take the probe. */
  add({ name, definition }: Probe): EventFormat {
    const all = join(this.root, 'kprobe_events');
    if (!existsSync(all)) throw new Problem(`there is no ${all}: this kernel lacks CONFIG_KPROBE_EVENTS`);
    append(all, definition);
    this.probed.push(name);
    return this.enable(GROUP, name);
  }

  enable(group: string, name: string): EventFormat {
    const folder = `events/${group}/${name}`;
    const format = parseFormat(this.read(`${folder}/format`));
    this.write(`${folder}/enable`, '1');
    return format;
  }

  read(file: string): string {
    return readFileSync(join(this.instance, file), 'utf8');
  }

  private write(file: string, text: string): void {
    append(join(this.instance, file), text);
  }

  /** As folders per_cpu/cpuN of the instance. */
  processors(): number[] {
    return readdirSync(join(this.instance, 'per_cpu'))
      .map((name) => Number(name.slice('cpu'.length)))
      .sort((a, b) => a - b);
  }

  /** Whoever reads the instance must have closed its files. Returns what had to stay, if anything. */
  close(): string | undefined {
    rmdirSync(this.instance);
    for (const name of this.probed.splice(0)) this.removeProbe(name);
    return this.unmount();
  }

  /** Somebody may have begun to use what we have mounted; then it stays. */
  private unmount(): string | undefined {
    if (!this.isMount) return undefined;
    try {
      execFileSync('umount', [this.root], { stdio: ['ignore', 'ignore', 'pipe'] });
      return undefined;
    } catch (error) {
      return `${this.root} stays mounted: ${textOf(error).trim()}`;
    }
  }

  private removeProbe(name: string): void {
    append(join(this.root, 'kprobe_events'), `-:${GROUP}/${name}`);
  }
}

/** Not writeFileSync: opening kprobe_events without O_APPEND removes everybody's probes. */
function append(path: string, text: string): void {
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_WRONLY | constants.O_APPEND);
    writeSync(fd, `${text}\n`);
  } catch (error) {
    throw new Problem(`${path} did not take "${text}": ${textOf(error)}`);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Returns whether it is our mount. */
function mount(root: string): boolean {
  if (existsSync(join(root, 'instances'))) return false;
  try {
    execFileSync('mount', ['-t', 'tracefs', 'none', root], { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    throw new Problem(`tracefs is not at ${root}, and mounting it failed: ${textOf(error).trim()}`);
  }
  if (existsSync(join(root, 'instances'))) return true;
  execFileSync('umount', [root]);
  throw new Problem(`${root} has no instances: this kernel lacks CONFIG_FTRACE`);
}
