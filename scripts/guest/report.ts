// What the guest's console said, and what that means for the run.
import { type Break, LEAST_SWAPPED_OUT } from './options.ts';

const PAGE = 4096;

/** Console lines that no run without an injected break may hold. */
const FAULT =
  /(Read|Write)-error on swap-device|I\/O error, dev|Kernel panic|BUG: |Oops: |Bad swap|swap_info_get:|Out of memory|oom-kill|HOG \d+ DEAD/;

export class Report {
  /** Hogs whose memory is filled, and so mostly on the device. */
  filled = 0;
  verified = 0;
  differing = 0;
  /** Pages that hogs reported one by one; each reports its first few. */
  badPages = 0;
  swappedOut = 0;
  swappedIn = 0;
  started = false;
  readError = false;
  swapoff = false;
  poweredDown = false;
  disk: number[] = [];
  result: { ok: boolean; text: string } | undefined;
  /** The first few: a broken device repeats itself. */
  readonly faults: string[] = [];

  /** Takes in one line; says whether a reader would want to see it. */
  take(line: string): boolean {
    // printk and the guest's own lines share the console and can meet on one line, hence no anchors.
    const traffic = /pswpout=(\d+) pswpin=(\d+)/.exec(line);
    if (traffic !== null) {
      this.swappedOut = Number(traffic[1]) * PAGE;
      this.swappedIn = Number(traffic[2]) * PAGE;
    }
    const isFault = FAULT.test(line);
    if (isFault && this.faults.length < 10) this.faults.push(line.trim());
    if (/Read-error on swap-device/.test(line)) this.readError = true;
    if (/reboot: Power down/.test(line)) this.poweredDown = true;
    const isHog = this.takeHog(line);
    return isFault ? this.faults.length < 10 : this.takeMachine(line) || isHog;
  }

  private takeHog(line: string): boolean {
    if (/HOG \d+ FILLED/.test(line)) this.filled++;
    if (/HOG \d+ OK/.test(line)) this.verified++;
    if (/HOG \d+ BAD page=/.test(line)) this.badPages++;
    this.differing += Number(/HOG \d+ BAD pages=\d+ differing=(\d+)/.exec(line)?.[1] ?? 0);
    return /HOG \d+ (OK|BAD)/.test(line);
  }

  private takeMachine(line: string): boolean {
    if (/VM START/.test(line)) this.started = true;
    if (/VM SWAPOFF/.test(line)) this.swapoff = true;
    const stat = /VM DISK stat (.*)/.exec(line);
    if (stat !== null) this.disk = stat[1].trim().split(/\s+/).map(Number);
    const result = /VM RESULT (ok|bad) (.*)/.exec(line);
    if (result !== null) this.result = { ok: result[1] === 'ok', text: result[2] };
    return /VM (START|SWAPOFF|RESULT)/.test(line);
  }

  /** One line on what the device was asked for; the fields are those of the guest's /sys/block/DISK/stat. */
  traffic(): string {
    const [reads, , readSectors, , writes, , writeSectors] = this.disk;
    const requests =
      this.disk.length === 0
        ? ''
        : `; ${reads} reads of ${kib(readSectors, reads)} KiB, ${writes} writes of ${kib(writeSectors, writes)} KiB,` +
          ` ${this.disk[11] ?? 0} discards`;
    return `${megabytes(this.swappedOut)} MB out, ${megabytes(this.swappedIn)} MB in${requests}`;
  }
}

export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}

function kib(sectors: number, requests: number): string {
  return (sectors / 2 / Math.max(requests, 1)).toFixed(1);
}

interface Run {
  readonly hogs: number;
  readonly small: boolean;
  readonly timedOut: boolean;
  readonly qemu: string;
  readonly qemuOk: boolean;
}

/** All that keeps an unbroken run from being good. */
export function problemsOf(report: Report, run: Run): string[] {
  const problems: string[] = [];
  const need = (condition: boolean, problem: string): void => {
    if (!condition) problems.push(problem);
  };
  need(!run.timedOut, 'the guest was ended: it took too long');
  need(run.timedOut || run.qemuOk, `QEMU ended with ${run.qemu}`);
  need(report.differing === 0, `${report.differing} pages differ`);
  need(report.faults.length === 0, `the console shows a fault: ${report.faults[0]}`);
  need(report.result !== undefined, 'the guest gave no result');
  if (report.result === undefined) return problems;
  need(report.result.ok, `the guest reports failure: ${report.result.text}`);
  if (!report.result.ok) return problems;
  need(report.verified === run.hogs, `${report.verified} of ${run.hogs} hogs verified their memory`);
  need(report.swapoff, 'swapoff was not seen');
  need(report.poweredDown, 'the guest did not power off');
  const least = run.small ? 1 : LEAST_SWAPPED_OUT;
  need(report.swappedOut >= least, `only ${megabytes(report.swappedOut)} MB were swapped out`);
  return problems;
}

/** The proof that the guest noticed the break for the stated reason, or undefined. */
export function detectionOf(report: Report, kind: Break): string | undefined {
  if (report.result?.ok === true) return undefined;
  if (kind === 'corrupt')
    return report.differing > 0 ? `the hogs report ${report.differing} differing pages` : undefined;
  return report.readError && report.differing === 0
    ? (report.faults.find((line) => /Read-error/.test(line)) ?? 'Read-error on swap-device')
    : undefined;
}
