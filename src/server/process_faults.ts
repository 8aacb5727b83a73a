/**
 * The faults of a thread, and of the process as a whole on the main thread: they happen by themselves, so each thread looks ten
 * times a second what its plan has for it. process.kill is asked at each protocol step that a thread passes.
 *
 * What is taken away while a fault is active, descriptors and memory, is given back when it is over or cleared.
 */
import type { Gate } from '../faults/gate.ts';
import { type FaultRule, isActive } from '../faults/rules.ts';
import { jumpClock } from '../os/clock.ts';
import { exhaustDescriptors } from '../os/descriptors.ts';
import { int32 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';
import { lastWords } from './output.ts';

/** Between two looks. */
const LOOK_MS = 100;
/** Memory is taken in pieces of so much, each of which is touched. */
const PIECE_BYTES = 16 * 1024 * 1024;

/** The name of the main thread among those that a plan can name. */
export const MAIN = 'main';

export class ProcessFaults {
  /** "main", "shrinker", or "lane 0" and so on. */
  private readonly thread: string;
  private timer: NodeJS.Timeout | null = null;
  private readonly sleepWord = int32(1);
  private giveDescriptors: (() => void) | null = null;
  private ballast: Uint8Array[] = [];

  constructor(thread: string) {
    this.thread = thread;
  }

  /** In place of those of before; null: none. */
  apply(gate: Gate | null): void {
    this.heal();
    if (gate === null) return;
    if (gate.names('process.kill')) sync.watchSteps((label) => this.step(gate, label));
    const rules = TIMED.flatMap((site) => gate.rulesOf(site));
    if (rules.length > 0) this.timer = setInterval(() => this.look(gate), LOOK_MS).unref();
  }

  private heal(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    sync.watchSteps(null);
    jumpClock(0);
    this.releaseDescriptors();
    this.ballast = [];
  }

  private releaseDescriptors(): void {
    this.giveDescriptors?.();
    this.giveDescriptors = null;
  }

  private look(gate: Gate): void {
    const { thread } = this;
    const mine = ({ with: { thread: wanted } }: FaultRule): boolean => wanted === thread;
    for (const injection of gate.reach('process.loop', {}, mine)) this.stand(injection.extra('stall'));
    this.followClock(gate);
    if (thread === 'shrinker') {
      for (const injection of gate.reach('process.shrinker', {})) this.stand(injection.extra('stall'));
    } else if (thread === MAIN) this.lookAtProcess(gate);
    else if (gate.reach('process.lane', {}, (rule) => thread === `lane ${rule.with.lane}`).length > 0) {
      throw new Error('process.lane crash: the fault plan has asked for it');
    }
  }

  /** The clock of each thread jumps by itself, at its next look; the main thread counts it. */
  private followClock(gate: Gate): void {
    const active = gate.rulesOf('process.clock').find((rule) => isActive(rule, gate.since));
    jumpClock(active === undefined ? 0 : Number(active.with.by) * 1000);
  }

  private lookAtProcess(gate: Gate): void {
    gate.reach('process.clock', {});
    const on = (site: 'process.descriptors' | 'process.memory'): boolean =>
      gate.rulesOf(site).some((rule) => isActive(rule, gate.since));
    if (!on('process.descriptors')) this.releaseDescriptors();
    if (!on('process.memory')) this.ballast = [];
    if (gate.reach('process.descriptors', {}).length > 0) this.giveDescriptors ??= exhaustDescriptors();
    for (const injection of gate.reach('process.memory', {})) this.take(injection.extra('bytes'));
  }

  private take(bytes: number): void {
    for (let left = bytes; left > 0; left -= PIECE_BYTES) {
      this.ballast.push(new Uint8Array(Math.min(left, PIECE_BYTES)).fill(1));
    }
  }

  /** Nothing else runs on this thread meanwhile; it holds no lock. */
  private stand(ms: number): void {
    sync.sleep(this.sleepWord, 0, 0, ms);
  }

  private step(gate: Gate, label: string): void {
    if (gate.reach('process.kill', {}, (rule) => rule.with.step === label).length === 0) return;
    // The log is the main thread's, and there is no time for it.
    lastWords(`process.kill: killed at step ${label}, as the fault plan has asked for\n`);
    process.kill(process.pid, 'SIGKILL');
  }
}

const TIMED = [
  'process.lane',
  'process.shrinker',
  'process.clock',
  'process.loop',
  'process.descriptors',
  'process.memory',
] as const;
