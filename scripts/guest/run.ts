// One guest from its start to its end: own server, own folder, the break if one was asked for, and the verdict.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { EXIT as SERVER_EXIT } from '#src/os/exit_error.js';
import { Child, describeEnding, type Ending } from '../support/child.ts';
import { mortal } from './children.ts';
import { loopbackPort, toUri } from './endpoint.ts';
import { writeInitramfs } from './initramfs.ts';
import type { Kernel } from './kernel.ts';
import { type Log, logger } from './log.ts';
import { startMachine } from './machine.ts';
import { type Attach, EXIT, type Load, loadOf, type Options } from './options.ts';
import { type Accelerator, qemuArguments } from './qemu.ts';
import { detectionOf, megabytes, problemsOf, Report } from './report.ts';
import { RestartPlan } from './restarts.ts';
import { type Server, startServer, tail } from './server.ts';
import { startSupervised } from './supervised.ts';
import { toolPath } from './tools.ts';

/** Three times what a guest takes on two emulated cores. */
const TIMEOUT_SECONDS: Record<Attach, number> = { blk: 90, nbd: 240 };
/** A restart more, with what the guest touches for it, in which each request may wait for the disk. */
const RESTART_SECONDS = 60;
/** An emulated kernel hangs at times before its first program runs. Nobody has asked the server for anything by then: it is booted again. */
const BOOT_SECONDS = 60;
const BOOTS = 3;
/** How long a guest waits for a server that is gone; for one that does not come again, it need not be long. */
const RECONNECT_SECONDS = { comes: 300, refuses: 20 };
/** After its first read error a guest has this long to end by itself. */
const AFTERMATH_SECONDS = 30;
const PROGRESS_SECONDS = 5;
/** How much of the served data is overwritten; where swap has its header, and so nothing of the hogs', is left alone. */
const CORRUPT = { offset: '1M', length: '256M' };

/** The exit code of a server that refuses a stale image. */
const STALE_IMAGE = SERVER_EXIT.staleImage;

export interface Context {
  readonly root: string;
  readonly options: Options;
  readonly kernel: Kernel;
  readonly accelerator: Accelerator;
}

export async function runGuest(context: Context, attach: Attach): Promise<number> {
  const { root, options } = context;
  const base = join(root, 'var/vm');
  mkdirSync(base, { recursive: true });
  const folder = mkdtempSync(join(base, 'run-'));
  const log = logger(attach);
  log(`folder ${folder}`);

  let code: number;
  try {
    code = await withServer(context, attach, folder, log);
  } catch (error) {
    log(`FAILED: ${(error as Error).message}`);
    code = EXIT.failed;
  }
  if (code !== EXIT.failed && !options.keep) rmSync(folder, { recursive: true });
  else log(`kept ${folder}`);
  return code;
}

async function withServer(context: Context, attach: Attach, folder: string, log: Log): Promise<number> {
  const start = context.options.restart === undefined ? startServer : startSupervised;
  const server = await start(context.options, attach, context.root, folder);
  log(`server ${toUri(server.endpoint)}${server.child === undefined ? '' : ` pid ${server.child.pid}`}`);
  const { report, problems, detection } = await new Guest(context, attach, folder, server, log).run();
  const killed = context.options.break === 'kill';
  const stop = await server.stop();
  if (stop !== undefined && !killed) problems.push(stop);

  log(report.traffic());
  if (context.options.break === undefined) {
    if (problems.length === 0) {
      const { hogs, hog_mib, keeper_mib } = loadOf(context.options);
      log(`OK: ${report.verified} hogs verified all their memory, ${hogs * hog_mib + keeper_mib} MiB`);
      return EXIT.verified;
    }
  } else if (detection !== undefined && (killed || stop === undefined)) {
    log(`BREAK DETECTED (${context.options.break}): ${detection}`);
    return EXIT.breakDetected;
  } else {
    problems.unshift(`the break (${context.options.break}) was not detected as it must be`);
  }
  showTails(folder);
  for (const problem of problems) log(`FAILED: ${problem}`);
  return EXIT.failed;
}

export function showTails(folder: string): void {
  for (const name of ['console.log', 'server.log']) {
    process.stdout.write(`--- the end of ${join(folder, name)}\n${tail(join(folder, name))}\n---\n`);
  }
}

interface Outcome {
  readonly report: Report;
  readonly problems: string[];
  readonly detection: string | undefined;
}

class Guest {
  private readonly report = new Report();
  private readonly load: Load;
  private readonly timeoutSeconds: number;
  private readonly injected: Promise<string | undefined>[] = [];
  private readonly context: Context;
  private readonly attach: Attach;
  private readonly folder: string;
  private readonly server: Server;
  private readonly log: Log;
  private readonly plan: RestartPlan | undefined;
  private qemu: Child | undefined;
  private brokenAt: number | undefined;
  private detectedAt: number | undefined;
  private shownAt = 0;

  constructor(context: Context, attach: Attach, folder: string, server: Server, log: Log) {
    this.context = context;
    this.attach = attach;
    this.folder = folder;
    this.server = server;
    this.log = log;
    this.load = loadOf(context.options);
    const { options } = context;
    const restarts = options.restart === undefined ? 0 : options.times;
    this.timeoutSeconds = options.timeoutSeconds ?? TIMEOUT_SECONDS[attach] + restarts * RESTART_SECONDS;
    this.plan =
      options.restart === undefined || options.break !== undefined
        ? undefined
        : new RestartPlan({ times: options.times, server, log, report: this.report });
  }

  async run(): Promise<Outcome> {
    const relay = this.attach === 'nbd' ? await loopbackPort(this.server.endpoint) : undefined;
    try {
      return await this.boot(relay?.port ?? 0);
    } finally {
      relay?.close();
    }
  }

  private async boot(port: number): Promise<Outcome> {
    const args = this.prepare(port);
    let { ending, timedOut } = await this.bootOnce(args);
    for (let boots = 1; timedOut && !this.report.started && boots < BOOTS; boots++) {
      this.log(`the guest's first program did not run in ${BOOT_SECONDS} s: booted again`);
      ({ ending, timedOut } = await this.bootOnce(args));
    }
    const failures = (await Promise.all(this.injected)).filter((failure) => failure !== undefined);

    const problems = problemsOf(this.report, {
      hogs: this.load.hogs + 1,
      small: this.context.options.small,
      timedOut,
      qemu: describeEnding(ending),
      qemuOk: ending.code === 0,
    });
    if (this.plan !== undefined) {
      this.log(await this.plan.finish());
      failures.push(...this.plan.problems);
    }
    const detection = failures.length === 0 ? this.detection() : undefined;
    return { report: this.report, problems: [...failures, ...problems], detection };
  }

  /** Until the guest ends, or its time is over. */
  private async bootOnce(args: readonly string[]): Promise<{ ending: Ending; timedOut: boolean }> {
    const qemu = startMachine(this.folder, args, (line) => this.takeLine(line));
    this.qemu = qemu;
    let timedOut = false;
    const end = (): void => {
      timedOut = true;
      qemu.kill('SIGKILL');
    };
    const boot = setTimeout(() => (this.report.started ? undefined : end()), BOOT_SECONDS * 1000);
    const timer = setTimeout(end, this.timeoutSeconds * 1000);
    const ending = await qemu.ended;
    clearTimeout(boot);
    clearTimeout(timer);
    return { ending, timedOut };
  }

  /** Writes the guest's root and returns QEMU's arguments. */
  private prepare(port: number): string[] {
    const { root, kernel, accelerator } = this.context;
    const initramfs = join(this.folder, 'initramfs.cpio');
    const settings = {
      ...this.load,
      attach: this.attach,
      port,
      export: this.server.endpoint.name,
      // Without a time-out nbd.ko waits for ever for what was under way when its server went; so it does by default.
      nbd_timeout: this.context.options.break === 'kill' || this.reconnectSeconds !== undefined ? 5 : 0,
      dead_conn_timeout: this.reconnectSeconds ?? 0,
      watchdog: this.timeoutSeconds + 30,
    };
    const programs = join(root, 'scripts/guest/programs');
    writeInitramfs(initramfs, { kernel, programs, program: 'init', work: this.folder, settings });
    this.log(`booting ${kernel.name} (${accelerator}), ${this.load.hogs} hogs of ${this.load.hog_mib} MiB`);
    return qemuArguments({
      accelerator,
      kernel: kernel.vmlinuz,
      initramfs,
      attach: this.attach,
      endpoint: this.server.endpoint,
      ...(this.reconnectSeconds === undefined ? {} : { reconnectSeconds: this.reconnectSeconds }),
    });
  }

  private get reconnectSeconds(): number | undefined {
    if (this.context.options.restart === undefined) return undefined;
    return this.plan === undefined ? RECONNECT_SECONDS.refuses : RECONNECT_SECONDS.comes;
  }

  private takeLine(line: string): void {
    const worthShowing = this.report.take(line);
    if (worthShowing) this.log(line.trim());
    else if (/VM PROGRESS/.test(line)) this.showProgress();
    const { options } = this.context;
    this.plan?.progress(this.report.filled > this.load.hogs);
    if (options.break === undefined) return;
    // Filled memory lies on the device, and all of it will be verified yet: the moment when a break hurts.
    if (this.brokenAt === undefined && this.report.filled > this.load.hogs) this.inject();
    if (this.brokenAt !== undefined && this.detectedAt === undefined) this.detect();
  }

  private showProgress(): void {
    if (performance.now() - this.shownAt < PROGRESS_SECONDS * 1000) return;
    this.shownAt = performance.now();
    const { filled, swappedOut, swappedIn } = this.report;
    this.log(`${filled} hogs filled, ${megabytes(swappedOut)} MB out, ${megabytes(swappedIn)} MB in`);
  }

  private inject(): void {
    this.brokenAt = performance.now();
    const { faults, badPages } = this.report;
    if (faults.length > 0 || badPages > 0 || this.server.child?.ending !== undefined) {
      this.injected.push(Promise.resolve('something was wrong before the break'));
    }
    if (this.server.restart !== undefined) {
      this.log('killing the server, which may not serve again');
      this.injected.push(
        this.server.restart().then(
          () => 'a stale image is served',
          () => this.refusal(),
        ),
      );
    } else if (this.context.options.break === 'kill') {
      this.log('killing the server');
      this.server.child?.kill('SIGKILL');
    } else {
      this.log(`overwriting ${CORRUPT.length}iB of the served data`);
      this.injected.push(overwrite(toUri(this.server.endpoint)));
    }
  }

  /** undefined if the supervisor ended as it must where an image is stale. */
  private refusal(): string | undefined {
    const ending = this.server.child?.ending;
    if (ending?.code === STALE_IMAGE) return undefined;
    return `the supervisor ended with ${ending === undefined ? 'nothing yet' : describeEnding(ending)}, and not with ${STALE_IMAGE}`;
  }

  private detect(): void {
    if (this.detection() === undefined) return;
    this.detectedAt = performance.now();
    setTimeout(() => this.qemu?.kill('SIGKILL'), AFTERMATH_SECONDS * 1000).unref();
  }

  /** The proof that the guest noticed, and how soon; its figures grow until the guest ends. */
  private detection(): string | undefined {
    const kind = this.context.options.break;
    if (kind === undefined || this.brokenAt === undefined) return undefined;
    const proof = detectionOf(this.report, kind);
    const seconds = ((this.detectedAt ?? performance.now()) - this.brokenAt) / 1000;
    return proof === undefined ? undefined : `${proof}, ${seconds.toFixed(1)} s after the break`;
  }
}

/** Over a connection of its own, in the guest's back; resolves to what went wrong, if anything. */
async function overwrite(uri: string): Promise<string | undefined> {
  const write = `write -P 0xa5 ${CORRUPT.offset} ${CORRUPT.length}`;
  const [program, ...args] = mortal(toolPath('qemu-io'), ['-f', 'raw', '-c', write, uri]);
  const { code } = await new Child(program, args).ended;
  return code === 0 ? undefined : `qemu-io could not overwrite ${uri}`;
}
