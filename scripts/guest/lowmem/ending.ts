// How a cell of --low-memory ended, from the guest's console alone.
import { megabytes, Report } from '../report.ts';

/**
 * verified: all bytes are right. deadlocked: nothing moved for STALL_SECONDS. killed: the kernel ended a process for want of memory.
 * lost: pages could not be read, and no wrong byte was. unfinished: it still swapped when its time was over. unbooted: the RAM is
 * too little for the guest. failed: wrong bytes, or what this does not know.
 */
type Kind = 'verified' | 'deadlocked' | 'killed' | 'lost' | 'unfinished' | 'unbooted' | 'failed';

export interface Ending {
  readonly kind: Kind;
  readonly why: string;
}

/** Emulated processors of a busy host stand still for seconds, not for so long. */
export const STALL_SECONDS = 60;

const MAX_KILLED = 5;

export class Watch {
  readonly report = new Report();
  /** When the guest last said that something had moved. */
  movedAt = performance.now();
  started = '';
  private readonly killed: string[] = [];

  /** Takes in a line of the console; says whether a reader would want to see it. */
  take(line: string): boolean {
    const { swappedIn, swappedOut } = this.report;
    const shown = this.report.take(line);
    const hasMoved = this.report.swappedIn !== swappedIn || this.report.swappedOut !== swappedOut;
    // Before it swaps, and between passes of the hogs, the guest speaks of other things.
    if (hasMoved || !/VM PROGRESS/.test(line)) this.movedAt = performance.now();
    const load = /VM LOAD (.*)/.exec(line)?.[1];
    if (load !== undefined) this.started = load;
    const victim = /Killed process \d+ \(([^)]*)\)/.exec(line)?.[1];
    if (victim !== undefined && this.killed.length < MAX_KILLED) this.killed.push(victim);
    return shown || load !== undefined;
  }

  ending(hogs: number, ended: 'off' | 'stalled' | 'late'): Ending {
    const { report } = this;
    const after = `after ${megabytes(report.swappedOut)} MB out`;
    if (report.differing > 0) return { kind: 'failed', why: `${report.differing} pages differ` };
    if (this.killed.length > 0) {
      const rest = ended === 'stalled' ? `, then nothing for ${STALL_SECONDS} s` : '';
      return { kind: 'killed', why: `${this.killed.join(', ')}${rest}` };
    }
    if (report.result?.ok) {
      if (report.verified !== hogs) return { kind: 'failed', why: `${report.verified} of ${hogs} hogs verified` };
      return report.swappedOut > 0 ? { kind: 'verified', why: '' } : { kind: 'failed', why: 'nothing was swapped' };
    }
    if (report.readError) return { kind: 'lost', why: report.faults[0] ?? '' };
    if (this.started === '' && report.result === undefined)
      return { kind: 'unbooted', why: report.faults[0] ?? 'no swap was had' };
    if (ended === 'stalled') return { kind: 'deadlocked', why: `nothing for ${STALL_SECONDS} s ${after}` };
    if (ended === 'late') return { kind: 'unfinished', why: after };
    return { kind: 'failed', why: report.result?.text ?? report.faults[0] ?? 'the guest gave no result' };
  }
}
