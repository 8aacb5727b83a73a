/**
 * System calls about the process as a whole, through koffi: what its threads may do in reclaim, its program, and the
 * descriptors it was given. Main thread only, at start and at the end. Each answers >= 0, or -errno.
 */
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const cPrctl = libc.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)');
const cExecve = libc.func('int execve(const char *path, const char **argv, const char **envp)');
const cDup2 = libc.func('int dup2(int fd, int onto)');
const cFcntl = libc.func('fcntl', 'int', ['int', 'int', 'int']);

const PR_SET_IO_FLUSHER = 57;
const PR_GET_IO_FLUSHER = 58;
const F_SETFD = 2;

function result(value: number): number {
  return value < 0 ? -koffi.errno() : value;
}

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

/** Makes `onto` another name for what `fd` has open, in one step: no other thread's file gets that number. */
export function replaceDescriptor(fd: number, onto: number): number {
  return result(cDup2(fd, onto));
}

/** Replaces the program of this process, which keeps its pid and loses its other threads. Returns -errno or not at all. */
export function replaceProgram(path: string, args: readonly string[], environment: NodeJS.ProcessEnv): number {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  return result(cExecve(path, [...args, null], [...variables, null]));
}
