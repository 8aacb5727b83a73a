/**
 * What floods of hostile clients cost a real `zswapd serve`, and a client beside them that behaves. It prints: how much memory
 * the server has taken at most, and how long the slowest of a hundred requests took, before, during and after. Only with
 * ZSWAPD_LONG=1, as times of a loaded machine say nothing; that the client reads what it wrote is asserted.
 */
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import type { Attack } from '../support/hostile/attacker.ts';
import { startServer } from '../support/zswapd.ts';

const LONG = process.env.ZSWAPD_LONG === '1';
const ATTACKS: readonly Attack[] = ['slow handshakes', '10,000 connections', 'reads never taken'];
const BASE_MS = 3000;
const PAGE = 4096;
const PAGES = 256;
const MIB = 1024 * 1024;
/** Of a connection that takes nothing: eight chunks of replies, and what was received (src/nbd/README.md). */
const PER_CONNECTION = 8 * 260 * 1024 + 256 * 1024;
/** As many as the attack opens, and what a server may take for anything else. */
const DEAF = 40;
const SLACK = 64 * MIB;

const resident = (pid: number): number =>
  1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

t.setTimeout(300_000);

t.test('floods', { skip: LONG ? false : 'only with ZSWAPD_LONG=1' }, async (t) => {
  const server = await startServer(t, { size: '64MiB' });
  const client = await server.connect();
  const whole = Buffer.alloc(PAGE);
  let wrong = 0;
  let version = 0;
  const versions = new Map<number, number>();
  /** Writes and reads until told otherwise; resolves with the sorted times of each, and the most memory. */
  const measure = async (more: () => boolean): Promise<{ ms: number[]; most: number }> => {
    const ms: number[] = [];
    let most = 0;
    while (more()) {
      const page = version++ % PAGES;
      versions.set(page, version);
      whole.writeUInt32BE(version, 0);
      const begin = performance.now();
      await client.write(page * PAGE, whole);
      const middle = performance.now();
      const other = (version * 31) % PAGES;
      const found = await client.read(other * PAGE, PAGE);
      ms.push(middle - begin, performance.now() - middle);
      if (found.readUInt32BE(0) !== (versions.get(other) ?? 0)) wrong++;
      if (version % 50 === 0) most = Math.max(most, resident(server.pid));
    }
    return { ms: ms.sort((a, b) => a - b), most };
  };
  const say = (what: string, { ms, most }: { ms: number[]; most: number }): void => {
    const at = (share: number): string => `${(1000 * ms[Math.floor(ms.length * share)]).toFixed(0)} us`;
    const times = `p50 ${at(0.5)}, p99 ${at(0.99)}, longest ${at(0.99999)}`;
    t.comment(`${what}: ${ms.length} requests, ${times}; ${(most / MIB).toFixed(0)} MiB resident at most`);
  };
  const during = (ms: number): (() => boolean) => {
    const end = performance.now() + ms;
    return () => performance.now() < end;
  };
  await measure(during(BASE_MS));
  let before = await measure(during(BASE_MS));
  say('nobody beside it', before);
  // Twice, as what the second time adds to the first would be a leak.
  for (const attack of [...ATTACKS, ...ATTACKS]) {
    const path = server.socketPath;
    const worker = new Worker(new URL('../support/hostile/attacker.js', import.meta.url), {
      workerData: { path, attack },
    });
    let over = false;
    worker.once('exit', () => {
      over = true;
    });
    const result = await measure(() => !over);
    say(attack, result);
    t.ok(result.most - before.most <= DEAF * PER_CONNECTION + SLACK, `${attack}: memory stays within the bounds`);
    before = await measure(during(BASE_MS));
    say('nobody beside it again', before);
  }
  t.equal(wrong, 0, 'it reads what it wrote');
  await client.disconnect();
  t.equal((await server.stop()).code, 0);
});
