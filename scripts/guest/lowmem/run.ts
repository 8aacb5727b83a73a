// A run of --low-memory: the cells of the matrix one after the other, each a guest of its own, and a table of how they ended.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zswapdArguments } from '../../support/zswapd.ts';
import { type Endpoint, loopbackPort } from '../endpoint.ts';
import { writeInitramfs } from '../initramfs.ts';
import { type Log, logger } from '../log.ts';
import { startMachine } from '../machine.ts';
import { EXIT } from '../options.ts';
import { qemuArguments } from '../qemu.ts';
import { type Context, showTails } from '../run.ts';
import { startServer } from '../server.ts';
import { CELLS, type Cell, settingsOf } from './cells.ts';
import { insideDisks, makeServerDisk } from './disks.ts';
import { type Ending, STALL_SECONDS, Watch } from './ending.ts';
import { type Row, tableOf } from './table.ts';

/** Several times what a cell takes on two emulated cores that others use as well. */
const TIMEOUT_SECONDS = { blk: 300, nbd: 420, inside: 600 } as const;
const LOOK_SECONDS = 5;
const LOAD = { hogs: 2, touch_percent: 5, rewrite_percent: 3, seed: 1 } as const;
/** Each hog's part of what is free. Inside, where a server is slowed by its own load, less does. */
const HOG_PERCENT = { blk: 120, nbd: 120, inside: 70 } as const;
/** Where the server is, to the guest it runs in. */
const INSIDE: Endpoint = { name: 'swap0', address: { path: '/run/nbd.sock' } };

export async function runLowMemory(context: Context): Promise<number> {
  const base = join(context.root, 'var/vm');
  mkdirSync(base, { recursive: true });
  const { cells: wanted } = context.options;
  const cells = CELLS.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
  const shared = mkdtempSync(join(base, 'run-'));
  const serverDisk = cells.some(({ attach }) => attach === 'inside') ? makeServerDisk(context.root, shared) : '';
  const rows: Row[] = [];
  for (const cell of cells) {
    const folder = mkdtempSync(join(base, 'run-'));
    const log = logger(cell.name);
    log(`${cell.ramMib} MiB, ${settingsOf(cell)}`);
    const row = await runCell({ ...context, serverDisk }, cell, folder, log);
    rows.push(row);
    const isGood = !isWrong(row);
    log(`${isGood ? 'ended' : 'FAILED'}: ${row.ending.kind} ${row.ending.why}`);
    if (!isGood) showTails(folder);
    if (isGood && !context.options.keep) rmSync(folder, { recursive: true });
    else log(`kept ${folder}`);
  }
  rmSync(shared, { recursive: true });
  const table = tableOf(rows);
  writeFileSync(join(base, 'low-memory.md'), table);
  process.stdout.write(`\n${context.kernel.name}, ${context.accelerator}\n\n${table}`);
  return rows.some(isWrong) ? EXIT.failed : EXIT.verified;
}

/** Wrong bytes are wrong anywhere; with settings that are called safe so is all but right ones. */
function isWrong({ cell, ending }: Row): boolean {
  return ending.kind === 'failed' || (cell.safe && ending.kind !== 'verified');
}

interface LowContext extends Context {
  readonly serverDisk: string;
}

async function runCell(context: LowContext, cell: Cell, folder: string, log: Log): Promise<Row> {
  const begun = performance.now();
  const watch = new Watch();
  let ending: Ending;
  try {
    ending =
      cell.attach === 'inside'
        ? await runInside(context, cell, folder, watch, log)
        : await runOutside(context, cell, folder, watch, log);
  } catch (error) {
    ending = { kind: 'failed', why: (error as Error).message };
  }
  const { swappedIn, swappedOut } = watch.report;
  const seconds = (performance.now() - begun) / 1000;
  return { cell, ending, started: watch.started, swappedIn, swappedOut, seconds };
}

async function runOutside(context: Context, cell: Cell, folder: string, watch: Watch, log: Log): Promise<Ending> {
  const attach = cell.attach === 'blk' ? 'blk' : 'nbd';
  const server = await startServer(context.options, attach, context.root, folder, () => ({ set: cell.set ?? [] }));
  const relay = attach === 'nbd' ? await loopbackPort(server.endpoint) : undefined;
  try {
    const port = relay?.port ?? 0;
    return await boot(context, cell, folder, { endpoint: server.endpoint, port, more: [] }, watch, log);
  } finally {
    relay?.close();
    const stop = await server.stop();
    if (stop !== undefined) log(stop);
  }
}

function runInside(context: LowContext, cell: Cell, folder: string, watch: Watch, log: Log): Promise<Ending> {
  const more = insideDisks(context.serverDisk, folder);
  return boot(context, cell, folder, { endpoint: INSIDE, port: 0, more }, watch, log);
}

interface Outside {
  readonly endpoint: Endpoint;
  readonly port: number;
  readonly more: readonly string[];
}

async function boot(
  context: Context,
  cell: Cell,
  folder: string,
  { endpoint, port, more }: Outside,
  watch: Watch,
  log: Log,
): Promise<Ending> {
  const { root, kernel, accelerator, options } = context;
  const timeoutSeconds = options.timeoutSeconds ?? TIMEOUT_SECONDS[cell.attach];
  const initramfs = join(folder, 'initramfs.cpio');
  const programs = join(root, 'scripts/guest/programs');
  const settings = { ...settingsFor(cell), export: endpoint.name, port, watchdog: timeoutSeconds + 30 };
  writeInitramfs(initramfs, { kernel, programs, program: 'lowmem', work: folder, settings });
  const args = qemuArguments({
    accelerator,
    kernel: kernel.vmlinuz,
    initramfs,
    // A guest with the server inside has no device of ours.
    attach: cell.attach === 'blk' ? 'blk' : 'nbd',
    endpoint,
    memoryMib: cell.ramMib,
    more,
  });
  return watch.ending(LOAD.hogs, await runQemu(args, folder, timeoutSeconds, watch, log));
}

/** The guest's own names for them. */
function settingsFor(cell: Cell): Record<string, string | number> {
  return {
    ...LOAD,
    hog_percent: HOG_PERCENT[cell.attach],
    where: cell.attach === 'inside' ? 'inside' : 'outside',
    attach: cell.attach === 'blk' ? 'blk' : 'nbd',
    nbd_timeout: 0,
    nbd_options: cell.nbdOptions ?? '',
    min_free_kib: cell.minFreeKib ?? 0,
    watermark_scale: cell.watermarkScale ?? 0,
    limit_percent: cell.limited ? 50 : 0,
    unswapped: cell.unswapped ? 1 : 0,
    serve: zswapdArguments({
      sockets: '/run',
      exports: [{ name: INSIDE.name, size: '1GiB', image: '/image/swap0.img' }],
      set: cell.set ?? [],
    }).join(' '),
  };
}

/** Ends the guest where nothing moves any more, and when its time is over. */
async function runQemu(
  args: readonly string[],
  folder: string,
  timeoutSeconds: number,
  watch: Watch,
  log: Log,
): Promise<'off' | 'stalled' | 'late'> {
  const begun = performance.now();
  watch.movedAt = begun;
  const qemu = startMachine(folder, args, (line) => {
    if (watch.take(line)) log(line.trim());
  });
  let ended: 'off' | 'stalled' | 'late' = 'off';
  const timer = setInterval(() => {
    const now = performance.now();
    if (now - watch.movedAt > STALL_SECONDS * 1000) ended = 'stalled';
    else if (now - begun > timeoutSeconds * 1000) ended = 'late';
    if (ended !== 'off') qemu.kill('SIGKILL');
  }, LOOK_SECONDS * 1000);
  await qemu.ended;
  clearInterval(timer);
  return ended;
}
