/**
 * PR_SET_IO_FLUSHER for every thread of a server. A guest's swap waits for this process, so its own allocations must not
 * wait for writeback that may wait for that guest.
 *
 * The flag belongs to a thread, and new threads inherit it. V8 makes those that collect garbage before any line of ours
 * runs, and a lane waits for them; so the flag is set, and the program replaced by itself: the kernel keeps it over an
 * exec, and then every thread is made by one that has it. Where it is not permitted, nothing is replaced.
 */

import { fstatSync, readdirSync, readFileSync } from 'node:fs';
import type { Config } from '../config/schema.ts';
import { EINVAL, EPERM, errnoName } from '../os/errno.ts';
import { errorCode } from '../os/exit_error.ts';
import { inheritedSockets, isSupervised, LISTEN_FDS_START } from '../os/inherited_sockets.ts';
import { statFields } from '../os/proc_stat.ts';
import { getIoFlusher, keepOverExec, replaceProgram, setIoFlusher } from '../os/process.ts';
import { type Care, insist } from './care.ts';

/** PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE of a task, which the prctl sets: these two bits since it exists. */
const TASK_FLAGS = 0x0018_0000;
/** Field of /proc/PID/stat, counted from the one after the name. */
const FIELD_FLAGS = 6;
/** Tells the second program that it is the second, so that a kernel that forgets the flag is not asked for ever. */
const REPLACED = 'ZSWAPD_REPLACED';

type Options = Config['process'];
/** Why it does not hold. */
export type NoFlusher = Pick<Care, 'state' | 'detail'>;

/** To be called before anything is opened or started: it may replace the program. null if it holds. */
export function becomeIoFlusher(options: Options): NoFlusher | null {
  const second = process.env[REPLACED] !== undefined;
  delete process.env[REPLACED];
  if (options.ioFlusher === 'off') return { state: 'off', detail: 'writeback may keep its allocations waiting' };
  if (getIoFlusher() === 1) return null;
  const refused = setHere();
  if (refused !== null) return refused;
  if (second) return { state: 'not supported', detail: 'this kernel does not keep PR_SET_IO_FLUSHER over an exec' };
  for (const fd of inheritedDescriptors()) keepOverExec(fd);
  const args = [process.argv0, ...process.execArgv, ...process.argv.slice(1)];
  const failed = replaceProgram(process.execPath, args, { ...process.env, [REPLACED]: '1' });
  const detail = `the program could not be replaced (${errnoName(failed)}), so V8 had made its threads before`;
  return { state: 'failed', detail };
}

function setHere(): NoFlusher | null {
  const code = setIoFlusher();
  if (code >= 0) return null;
  if (code === -EPERM) return { state: 'not permitted', detail: 'PR_SET_IO_FLUSHER needs CAP_SYS_RESOURCE' };
  if (code === -EINVAL) return { state: 'not supported', detail: 'PR_SET_IO_FLUSHER needs Linux 5.6' };
  return { state: 'failed', detail: `PR_SET_IO_FLUSHER failed (${errnoName(code)})` };
}

/** Throws where the config insists and it does not hold. */
export function insistOnFlusher(options: Options, refused: NoFlusher | null): void {
  if (refused !== null) insist(options, { option: 'ioFlusher', ...refused });
}

/** The same, of a process that never was to become one. */
export function tryFlusher(options: Options): void {
  if (options.ioFlusher === 'required') insistOnFlusher(options, setHere());
}

/** Node marks what it inherited close-on-exec. Its own descriptors are none of these: they are pipes, events and polls. */
function inheritedDescriptors(): number[] {
  const sockets = inheritedSockets(process.env) + (isSupervised(process.env) ? 1 : 0);
  const isOurs = (fd: number): boolean =>
    fd < LISTEN_FDS_START + sockets ||
    // A lock file, say, that who started us holds open for as long as we run.
    isFile(fd);
  return readdirSync('/proc/self/fd').map(Number).filter(isOurs);
}

function isFile(fd: number): boolean {
  try {
    return fstatSync(fd).isFile();
  } catch (error) {
    // The list's own descriptor is closed by now.
    if (errorCode(error) === 'EBADF') return false;
    throw error;
  }
}

/** Looks at every thread there is: Node's and V8's as well as ours. `refused` is what becomeIoFlusher answered. */
export function lookAtThreads(refused: NoFlusher | null): Care {
  const option = 'ioFlusher';
  const flags = readdirSync('/proc/self/task').flatMap(taskFlags);
  const total = flags.length;
  const threads = flags.filter((one) => (one & TASK_FLAGS) === TASK_FLAGS).length;
  const figures = { threads, total };
  if (threads === total) return { option, state: 'done', detail: 'every thread is an I/O flusher', figures };
  const count = threads === 0 ? 'no thread is an I/O flusher' : `only ${threads} of ${total} threads are I/O flushers`;
  const { state, detail } = refused ?? { state: 'failed', detail: 'not inherited' };
  return { option, state, detail: `${count}: ${detail}`, figures };
}

function taskFlags(task: string): number[] {
  try {
    const stat = readFileSync(`/proc/self/task/${task}/stat`, 'latin1');
    return [Number(statFields(stat)[FIELD_FLAGS])];
  } catch (error) {
    // A thread that has ended.
    if (['ENOENT', 'ESRCH'].includes(errorCode(error))) return [];
    throw error;
  }
}
