/**
 * What a server does so that its machine treats it as one that holds the memory of guests: what they have swapped out stays in
 * RAM and out of core dumps, and the kernel knows what it would cost to end this process. (As to its allocations: io_flusher.ts.)
 *
 * Memory is locked by ranges, and not by mlockall: V8 gives pages of its heaps back by madvise(MADV_DONTNEED), which locked
 * memory refuses, and aborts then. Our ranges are shared buffers, of which V8 gives nothing back until all of it is unmapped.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { lockLimit } from '../config/requirements.ts';
import type { Config } from '../config/schema.ts';
import { formatSize, roundedSize } from '../config/units.ts';
import { EINVAL, ENOSYS, EPERM, errnoName } from '../os/errno.ts';
import { errorCode, errorText } from '../os/exit_error.ts';
import { leaveOutOfDumps, lockOnFault, unlockMemory } from '../os/memory.ts';
import { type Care, type CareState, insist } from './care.ts';

type Options = Config['process'];

const OOM_SCORE_ADJ = '/proc/self/oom_score_adj';

/** Of memory in which nothing is yet. Throws where the config insists on what can't be had. */
export function careForMemory(options: Options, memory: readonly SharedArrayBuffer[]): Care[] {
  return [insist(options, lockMemory(options, memory)), insist(options, dontDump(options, memory))];
}

function lockMemory({ lockMemory: wish }: Options, memory: readonly SharedArrayBuffer[]): Care {
  const option = 'lockMemory';
  if (wish === 'off') return { option, state: 'off', detail: 'the host may swap the pool out' };
  const bytes = bytesOf(memory);
  const size = roundedSize(bytes);
  const code = lockAll(memory);
  const figures = { bytes };
  if (code === 0) return { option, state: 'done', detail: `what is touched of ${size} stays in RAM`, figures };
  const limit = lockLimit(readFileSync('/proc/self/limits', 'utf8'));
  if (bytes <= limit) return { option, state: stateOf(code), detail: `mlock2 failed (${errnoName(code)})` };
  const needs = `needs CAP_IPC_LOCK, or a higher limit (ulimit -l, LimitMEMLOCK)`;
  const detail = `${size} of address space ${needs} than ${formatSize(limit)}`;
  return { option, state: 'not permitted', detail };
}

/** All or nothing: what is locked in part can be waited for as long. 0 or -errno. */
function lockAll(memory: readonly SharedArrayBuffer[]): number {
  for (const [at, buffer] of memory.entries()) {
    const code = lockOnFault(buffer);
    if (code === 0) continue;
    for (const one of memory.slice(0, at)) unlockMemory(one);
    return code;
  }
  return 0;
}

function dontDump({ dontDump: wish }: Options, memory: readonly SharedArrayBuffer[]): Care {
  const option = 'dontDump';
  if (wish === 'off') return { option, state: 'off', detail: 'a core dump has the memory of guests in it' };
  const code = memory.map(leaveOutOfDumps).find((one) => one < 0);
  if (code !== undefined) return { option, state: stateOf(code), detail: `madvise failed (${errnoName(code)})` };
  const bytes = bytesOf(memory);
  const detail = `a core dump is without ${roundedSize(bytes)}, and what connections get`;
  return { option, state: 'done', detail, figures: { bytes } };
}

/** For memory that is made later. It can't be refused where that of the start was not, but for want of mappings. */
export function leaveOut(buffer: SharedArrayBuffer): void {
  leaveOutOfDumps(buffer);
}

/** To be called when no process is started any more that would inherit it. Throws where the config insists and it can't be had. */
export function careForOom(options: Options): Care {
  return insist(options, setOomScore(options.oomScoreAdj));
}

/** What careForOom would say, with everything as it was. */
export function tryOom(options: Options): void {
  if (options.oomScoreAdj === null) return;
  const before = readOomScore();
  careForOom(options);
  if (before !== null) writeFileSync(OOM_SCORE_ADJ, before);
}

function setOomScore(adj: number | null): Care {
  const option = 'oomScoreAdj';
  const before = readOomScore();
  if (before === null) return { option, state: 'not supported', detail: `${OOM_SCORE_ADJ} is not there` };
  if (adj === null) return { option, state: 'off', detail: `${before}, as it was inherited` };
  try {
    writeFileSync(OOM_SCORE_ADJ, String(adj));
    return { option, state: 'done', detail: `${adj} in place of ${before}`, figures: { adj } };
  } catch (error) {
    const detail = `${adj} in place of ${before} needs CAP_SYS_RESOURCE (${errorText(error)})`;
    if (['EACCES', 'EPERM', 'EROFS'].includes(errorCode(error))) return { option, state: 'not permitted', detail };
    throw error;
  }
}

/** null where there is no /proc. */
function readOomScore(): string | null {
  try {
    return readFileSync(OOM_SCORE_ADJ, 'latin1').trim();
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    return null;
  }
}

function stateOf(code: number): CareState {
  if (code === -EPERM) return 'not permitted';
  return [ENOSYS, EINVAL].includes(-code) ? 'not supported' : 'failed';
}

function bytesOf(memory: readonly SharedArrayBuffer[]): number {
  return memory.reduce((sum, { byteLength }) => sum + byteLength, 0);
}
