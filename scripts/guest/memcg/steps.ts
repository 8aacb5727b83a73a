// What has to hold at each step of the guest: its own kernel's figures beside the server's, and every limit.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../log.ts';
import type { ServerFiles } from './files.ts';
import type { Step } from './guest.ts';

const PAGE = 4096;
const MIB = 1 << 20;
/** How far the server's count of charged slots may be from the guest's own. */
const TOLERANCE = 0.01;
/** Of a small group one per cent is less than what a processor's cache of slots holds back. */
const TOLERANCE_PAGES = 16;
/** The agent's words are on their way for a moment; so long they may be, on an emulated processor. */
const SETTLE_MS = 30_000;
const LOOK_MS = 200;
const LIMIT_A = 4 * MIB;
const RECLAIM_BYTES = 2 * MIB;

interface Row {
  readonly group: string;
  readonly guest: number;
  readonly charged: number;
  readonly pool: number;
  readonly bytes: number;
  readonly writtenBack: number;
}

export class Steps {
  readonly problems: string[] = [];
  private readonly files: ServerFiles;
  private readonly log: Log;
  private parentLimit = 0;

  constructor(files: ServerFiles, log: Log) {
    this.files = files;
    this.log = log;
  }

  /** Before the guest boots. */
  async prepare(): Promise<void> {
    for (const group of ['/p/a', '/q']) await this.files.make(group);
    await this.files.set('/p/a', 'memory.zswap.max', String(LIMIT_A));
    await this.files.set('/q', 'memory.zswap.writeback', '0');
  }

  async take(step: Step): Promise<void> {
    const rows = await this.settled(step);
    this.print(step.name, rows);
    const row = (group: string): Row => rows.find((one) => one.group === group)!;
    for (const { group, guest, charged } of rows) {
      const share = guest === 0 ? '' : ` (${((100 * (charged - guest)) / guest).toFixed(2)} %)`;
      this.need(
        isNear(guest, charged),
        `${step.name}: ${group} has ${charged} charged slots here, ${guest} in the guest${share}`,
      );
    }
    if (step.name !== 'freed')
      this.need(row('/q').writtenBack === 0, `${step.name}: /q was written back against its setting`);
    if (step.name === 'filled') await this.filled(row);
    if (step.name === 'parent') await this.parent();
    if (step.name === 'reclaim') await this.reclaim(row);
    if (step.name === 'offline') await this.offline(row);
  }

  private need(condition: boolean, problem: string): void {
    if (!condition) this.problems.push(problem);
  }

  private async filled(row: (group: string) => Row): Promise<void> {
    await this.needsBelow('/p/a', LIMIT_A);
    this.need((await this.files.stat('/p/a')).zswpwb > 0, 'nothing of /p/a was written back, though it met its limit');
    this.need(row('/p/b').writtenBack === 0, '/p/b was written back for the limit of /p/a');
    this.parentLimit = (await this.files.current('/p')) + MIB;
    await this.files.set('/p', 'memory.zswap.max', String(this.parentLimit));
  }

  private async parent(): Promise<void> {
    await this.needsBelow('/p', this.parentLimit);
    const [all, a] = [await this.files.stat('/p'), await this.files.stat('/p/a')];
    this.need(all.zswpwb > a.zswpwb, 'nothing below /p but of /p/a was written back for its limit');
  }

  /** What is heard of late comes above a limit, and is written back from there; so it may take a moment. */
  private async needsBelow(group: string, limit: number): Promise<void> {
    const deadline = performance.now() + SETTLE_MS;
    let bytes = await this.files.current(group);
    while (bytes > limit + PAGE && performance.now() < deadline) {
      await sleep(LOOK_MS);
      bytes = await this.files.current(group);
    }
    this.need(bytes <= limit + PAGE, `${group} holds ${bytes} bytes, above its limit of ${limit}`);
  }

  private async reclaim(row: (group: string) => Row): Promise<void> {
    const before = await this.files.stat('/p/b');
    await this.files.set('/p/b', 'memory.reclaim', `${RECLAIM_BYTES} source=zswap`);
    const after = await this.files.stat('/p/b');
    const asked = after.zswpwb_proactive_b - before.zswpwb_proactive_b;
    this.log(
      `memory.reclaim of ${RECLAIM_BYTES} in /p/b: ${asked} written back, ${after.zswpwb - before.zswpwb} pages`,
    );
    this.need(asked >= RECLAIM_BYTES, `memory.reclaim wrote back ${asked} bytes of ${RECLAIM_BYTES}`);
    const others = await this.files.stat('/p/a');
    this.need(others.zswpwb === row('/p/a').writtenBack, '/p/a was written back for the reclaim of /p/b');
  }

  private async offline(row: (group: string) => Row): Promise<void> {
    const deadline = performance.now() + SETTLE_MS;
    const isThere = async (): Promise<boolean> => (await this.files.list('/p')).includes('c');
    while ((await isThere()) && performance.now() < deadline) await sleep(LOOK_MS);
    this.need(!(await isThere()), '/p/c is still there, though the guest has removed it');
    const own = row('/p').charged - row('/p/a').charged - row('/p/b').charged;
    const guest = row('/p').guest - row('/p/a').guest - row('/p/b').guest;
    this.log(`what /p/c had is now of /p itself: ${own} slots here, ${guest} in the guest`);
    this.need(
      guest > 0 && isNear(guest, own),
      `/p itself has ${own} slots here after /p/c went, ${guest} in the guest`,
    );
  }

  /** The rows when both sides agree, or else those of the last look. */
  private async settled(step: Step): Promise<Row[]> {
    const deadline = performance.now() + SETTLE_MS;
    for (;;) {
      const rows = await Promise.all([...step.groups].map(([group, { swap }]) => this.row(group, swap)));
      if (rows.every(({ guest, charged }) => isNear(guest, charged)) || performance.now() > deadline) return rows;
      await sleep(LOOK_MS);
    }
  }

  private async row(group: string, guest: number): Promise<Row> {
    // Where nobody has told of the group yet, it is not there.
    const stat = await this.files.stat(group).catch((error: Error) => {
      if (!error.message.includes('ENOENT')) throw error;
      return {} as Record<string, number>;
    });
    return {
      group,
      guest,
      charged: (stat.agent_charged ?? 0) / PAGE,
      pool: (stat.zswapped ?? 0) / PAGE,
      bytes: stat.zswap ?? 0,
      writtenBack: stat.zswpwb ?? 0,
    };
  }

  private print(name: string, rows: readonly Row[]): void {
    const line = (cells: readonly (string | number)[]): void =>
      this.log(cells.map((cell, i) => (i === 0 ? String(cell).padEnd(8) : String(cell).padStart(14))).join(''));
    this.log(`step ${name}:`);
    line(['group', 'guest: slots', 'here: charged', 'in the pool', 'MiB of it', 'written back']);
    for (const { group, guest, charged, pool, bytes, writtenBack } of rows) {
      line([group, guest, charged, pool, (bytes / MIB).toFixed(2), writtenBack]);
    }
  }
}

function isNear(guest: number, here: number): boolean {
  return Math.abs(guest - here) <= Math.max(TOLERANCE_PAGES, guest * TOLERANCE);
}
