/**
 * System calls about the process as a whole, through koffi: what its threads may do in reclaim, its program, the
 * descriptors it was given, and its end. Main thread only, at start and at the end. Each answers >= 0, or -errno.
 */
import { libc, result } from './libc.ts';

const cPrctl = libc.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)');
const cExecve = libc.func('int execve(const char *path, const char **argv, const char **envp)');
const cExit = libc.func('void _exit(int status)');
const cFcntl = libc.func('fcntl', 'int', ['int', 'int', 'int']);

const PR_SET_IO_FLUSHER = 57;
const PR_GET_IO_FLUSHER = 58;
const F_SETFD = 2;

/**
 * Tells the kernel that the calling thread does I/O on behalf of reclaim (Linux 5.6): its allocations then never wait for
 * writeback. Threads that it starts from here on, and a program that replaces this one, inherit it. 0 or -errno.
 */
export function setIoFlusher(): number {
  return result(cPrctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
}

/** 1 if the calling thread is one, 0 if not, or -errno: reading it needs CAP_SYS_RESOURCE as well. */
export function getIoFlusher(): number {
  return result(cPrctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0));
}

/** Lets a program that replaces this one keep the descriptor: 0 or -errno. */
export function keepOverExec(fd: number): number {
  return result(cFcntl(fd, F_SETFD, 0));
}

/**
 * Ends the process with all its threads, now. process.exit() first waits for the threads that do file I/O, and one of them may
 * be in a call that never returns; and it puts the modes of a terminal at 0, 1 and 2 back, and aborts where that is gone: a
 * core with the guest's memory in it. We change no mode. What is to be written has to be written before.
 */
export function endProcess(code: number): never {
  cExit(code);
  throw new Error('_exit has returned');
}

/** Replaces the program of this process, which keeps its pid and loses its other threads. Returns -errno or not at all. */
export function replaceProgram(path: string, args: readonly string[], environment: NodeJS.ProcessEnv): number {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  return result(cExecve(path, [...args, null], [...variables, null]));
}
