/**
 * PR_SET_IO_FLUSHER for every thread of a server. A guest's swap waits for this process, so its own allocations must not
 * wait for writeback that may wait for that guest.
 *
 * The flag belongs to a thread, and new threads inherit it. V8 makes those that collect garbage before any line of ours
 * runs, and a lane waits for them; so the flag is set, and the program replaced by itself: the kernel keeps it over an
 * exec, and then every thread is made by one that has it. Where it is not permitted, nothing is replaced.
 */

import { fstatSync, readdirSync, readFileSync } from 'node:fs';
import { EINVAL, EPERM, errnoName } from '../os/errno.ts';
import { errorCode } from '../os/exit_error.ts';
import { inheritedSockets, LISTEN_FDS_START } from '../os/inherited_sockets.ts';
import { getIoFlusher, keepOverExec, replaceProgram, setIoFlusher } from '../os/process.ts';

/** PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE of a task, which the prctl sets: these two bits since it exists. */
const TASK_FLAGS = 0x0018_0000;
/** Field of /proc/PID/stat, counted from the one after the name. */
const FIELD_FLAGS = 6;
/** Tells the second program that it is the second, so that a kernel that forgets the flag is not asked for ever. */
const REPLACED = 'ZSWAPD_REPLACED';

export interface IoFlusher {
  /** Threads of this process that have the flag. */
  readonly threads: number;
  readonly total: number;
  /** One line that says whether it holds, and why not. */
  readonly text: string;
}

/** To be called before anything is opened or started: it may replace the program. Returns why it does not hold, or null. */
export function becomeIoFlusher(): string | null {
  const second = process.env[REPLACED] !== undefined;
  delete process.env[REPLACED];
  if (getIoFlusher() === 1) return null;
  const code = setIoFlusher();
  if (code === -EPERM) return 'PR_SET_IO_FLUSHER needs CAP_SYS_RESOURCE';
  if (code === -EINVAL) return 'PR_SET_IO_FLUSHER needs Linux 5.6';
  if (code < 0) return `PR_SET_IO_FLUSHER failed (${errnoName(code)})`;
  if (second) return 'this kernel does not keep PR_SET_IO_FLUSHER over an exec';
  for (const fd of inheritedDescriptors()) keepOverExec(fd);
  const args = [process.argv0, ...process.execArgv, ...process.argv.slice(1)];
  const failed = replaceProgram(process.execPath, args, { ...process.env, [REPLACED]: '1' });
  return `the program could not be replaced (${errnoName(failed)}), so V8 had made its threads before`;
}

/** Node marks what it inherited close-on-exec. Its own descriptors are none of these: they are pipes, events and polls. */
function inheritedDescriptors(): number[] {
  const sockets = inheritedSockets(process.env);
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

/** Looks at every thread there is: Node's and V8's as well as ours. `problem` is what becomeIoFlusher answered. */
export function lookAtThreads(problem: string | null): IoFlusher {
  const flags = readdirSync('/proc/self/task').flatMap(taskFlags);
  const total = flags.length;
  const threads = flags.filter((one) => (one & TASK_FLAGS) === TASK_FLAGS).length;
  if (threads === total) return { threads, total, text: 'I/O flusher: every thread is one' };
  const count = threads === 0 ? 'no thread is one' : `only ${threads} of ${total} threads are`;
  return { threads, total, text: `I/O flusher: ${count}: ${problem ?? 'not inherited'}` };
}

function taskFlags(task: string): number[] {
  try {
    const stat = readFileSync(`/proc/self/task/${task}/stat`, 'latin1');
    return [Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[FIELD_FLAGS])];
  } catch (error) {
    // A thread that has ended.
    if (['ENOENT', 'ESRCH'].includes(errorCode(error))) return [];
    throw error;
  }
}
