/**
 * Whether a limited address space (ulimit -v) has room for the threads of a server. V8 reserves some hundred MiB for each, and
 * where it can't it ends the process with a dump, so this is tried in a process that has nothing to lose.
 * Invariant: nothing is tried where there is no limit.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { addressSpaceLimit } from '../config/requirements.ts';
import { formatSize } from '../config/units.ts';
import { EXIT, ExitError } from '../os/exit_error.ts';

/** What the process at hand has reserved beyond a bare Node is reserved there as well, then the threads are started. */
const TRY = `
const { Worker } = require('node:worker_threads');
const { readFileSync } = require('node:fs');
const [bytes, threads] = process.argv.slice(1).map(Number);
const size = () => 1024 * Number(/^VmSize:\\s+(\\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
const kept = [];
while (size() < bytes) kept.push(new SharedArrayBuffer(Math.min(2 ** 30, Math.max(4096, bytes - size()))));
let online = 0;
for (let i = 0; i < threads; i++) {
  new Worker('setInterval(() => undefined, 1000)', { eval: true }).once('online', () => {
    if (++online === threads) process.exit(0);
  });
}
`;

/** Throws ExitError 2 where lanes and shrinker have no room beside what this process has reserved. To be called when all of that is. */
export async function checkThreadRoom(lanes: number): Promise<void> {
  const limit = addressSpaceLimit(readFileSync('/proc/self/limits', 'utf8'));
  // In inline mode there are no further threads.
  if (limit === Number.POSITIVE_INFINITY || lanes === 0) return;
  const threads = lanes + 1;
  const [, kib] = /^VmSize:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))!;
  // What it leaves behind where it fails is no use to anybody.
  const line = 'ulimit -c 0; exec "$0" -e "$1" "$2" "$3"';
  const args = ['-c', line, process.execPath, TRY, String(Number(kib) * 1024), String(threads)];
  const child = spawn('/bin/sh', args, { stdio: 'ignore' });
  const ended = await new Promise<number | null>((resolve) => {
    child.once('error', () => resolve(null));
    child.once('exit', resolve);
  });
  if (ended === 0) return;
  throw new ExitError(
    EXIT.usage,
    `the address space of this process (${formatSize(limit)}) has no room for ${threads} threads, allowed: a higher limit (ulimit -v), or less of pool.max`,
  );
}
