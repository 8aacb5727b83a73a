// The agent's part of tracefs: an instance with a buffer and a clock of its own, and probes in a group of their own.
// Invariant: both are gone after close(), and what an agent that was killed left behind goes at the next open().
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

  private constructor(root: string) {
    this.root = root;
    this.instance = join(root, 'instances', GROUP);
  }

  /** Makes the instance. `bufferKib`: for each processor. */
  static open(bufferKib: number, root = TRACING): Tracefs {
    mount(root);
    const own = new Tracefs(root);
    own.removeStale();
    try {
      mkdirSync(own.instance);
    } catch (error) {
      if (codeOf(error) === 'EEXIST') throw new Problem('another agent is just starting here');
      throw new Problem(`${own.instance} can not be made: ${textOf(error)}`);
    }
    own.write('trace_clock', 'mono');
    own.write('buffer_size_kb', String(bufferKib));
    return own;
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

  /** Whoever reads the instance must have closed its files. */
  close(): void {
    rmdirSync(this.instance);
    for (const name of this.probed.splice(0)) this.removeProbe(name);
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

function mount(root: string): void {
  if (existsSync(join(root, 'instances'))) return;
  try {
    execFileSync('mount', ['-t', 'tracefs', 'none', root], { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    throw new Problem(`tracefs is not at ${root}, and mounting it failed: ${textOf(error).trim()}`);
  }
  if (!existsSync(join(root, 'instances')))
    throw new Problem(`${root} has no instances: this kernel lacks CONFIG_FTRACE`);
}
