// The guest of --memcg: boots it, and talks with it over its console, step by step.
import { type Child, describeEnding } from '../../support/child.ts';
import type { Log } from '../log.ts';
import { startMachine } from '../machine.ts';
import { Report } from '../report.ts';

/** What a cgroup of the guest holds by its own files, in pages. */
interface GuestGroup {
  readonly swap: number;
  readonly ram: number;
}

export interface Step {
  readonly name: string;
  readonly groups: ReadonlyMap<string, GuestGroup>;
}

const PAGE = 4096;

export class MemcgGuest {
  readonly report = new Report();
  /** The agent's last line of counters. */
  agentStatus = '';
  fileOk = false;
  /** Errors of steps, for the verdict. */
  readonly problems: string[] = [];
  private readonly folder: string;
  private readonly log: Log;
  private readonly onStep: (step: Step) => Promise<void>;
  private groups = new Map<string, GuestGroup>();
  private qemu: Child | undefined;

  constructor(folder: string, log: Log, onStep: (step: Step) => Promise<void>) {
    this.folder = folder;
    this.log = log;
    this.onStep = onStep;
  }

  /** Resolves when the guest is off, to what was wrong with its machine. */
  async run(
    args: readonly string[],
    timeoutSeconds: number,
  ): Promise<{ timedOut: boolean; qemu: string; qemuOk: boolean }> {
    this.qemu = startMachine(this.folder, args, (line) => this.take(line), ['pipe', 'pipe', 'pipe']);
    // A guest that is gone takes no answers; how it went is told by its ending.
    this.qemu.process.stdin?.on('error', (error) => this.log(`the console: ${error.message}`));
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      this.qemu?.kill('SIGKILL');
    }, timeoutSeconds * 1000);
    const ending = await this.qemu.ended;
    clearTimeout(timer);
    return { timedOut, qemu: describeEnding(ending), qemuOk: ending.code === 0 };
  }

  private take(line: string): void {
    const agent = /VM AGENT agent: (.*)/.exec(line)?.[1];
    if (agent !== undefined) {
      if (/charges=/.test(agent)) this.agentStatus = agent;
      else this.log(`agent: ${agent}`);
      return;
    }
    if (/VM FILE ok/.test(line)) this.fileOk = true;
    const group = /VM CGROUP (\S+) swap=(\d+) ram=(\d+)/.exec(line);
    if (group !== null) this.groups.set(group[1], { swap: Number(group[2]) / PAGE, ram: Number(group[3]) / PAGE });
    if (this.report.take(line)) this.log(line.trim());
    const name = /VM STEP (\w+)/.exec(line)?.[1];
    if (name === undefined) return;
    const { groups } = this;
    this.groups = new Map();
    this.onStep({ name, groups })
      .catch((error: Error) => {
        this.problems.push(`step ${name}: ${error.message}`);
      })
      .then(() => this.qemu?.process.stdin?.write('go\n'));
  }
}
