/**
 * System calls that Node does not offer, through koffi. Each answers >= 0, or -errno. One alone is called per page, a poll of its
 * connection (0.5 us); punches work on up to 2 MiB.
 */
import koffi from 'koffi';
import { ENXIO } from './errno.ts';
import { libc, result } from './libc.ts';

const cDup = libc.func('int fcntl(int fd, int cmd, int arg)');
const cShutdown = libc.func('int shutdown(int fd, int how)');
const cPoll = libc.func('int poll(void *fds, unsigned long n, int ms)');
const cRecv = libc.func('int64_t recv(int fd, _Out_ uint8_t *buf, size_t len, int flags)');
const cGetsockopt = libc.func(
  'int getsockopt(int fd, int level, int name, _Out_ int *value, _Inout_ uint32_t *length)',
);
const cFallocate = libc.func('int fallocate(int fd, int mode, int64_t offset, int64_t len)');
const cLseek = libc.func('int64_t lseek(int fd, int64_t offset, int whence)');
const cFadvise = libc.func('int posix_fadvise(int fd, int64_t offset, int64_t len, int advice)');
const cStatx = libc.func('int statx(int dirfd, const char *path, int flags, unsigned int mask, _Out_ uint8_t *buf)');
const cIoctl = libc.func('int ioctl(int fd, unsigned long request, _Out_ uint8_t *out)');
const cSetXattr = libc.func('int fsetxattr(int fd, const char *name, const uint8_t *value, size_t size, int flags)');
const cGetXattr = libc.func('int64_t fgetxattr(int fd, const char *name, _Out_ uint8_t *value, size_t size)');
const cListXattr = libc.func('int64_t flistxattr(int fd, _Out_ uint8_t *list, size_t size)');
const cRemoveXattr = libc.func('int fremovexattr(int fd, const char *name)');
const cSetSocketOption = libc.func(
  'int setsockopt(int fd, int level, int name, const int *value, unsigned int length)',
);
const cSetAffinity = libc.func('int sched_setaffinity(int pid, size_t size, const uint8_t *mask)');
const cGetAffinity = libc.func('int sched_getaffinity(int pid, size_t size, _Out_ uint8_t *mask)');

const F_DUPFD_CLOEXEC = 1030;
const POLLIN = 0x1;
const POLLOUT = 0x4;
const POLLRDHUP = 0x2000;
const POLLERR_HUP_NVAL = 0x8 | 0x10 | 0x20;
const MSG_PEEK_DONTWAIT = 0x2 | 0x40;
const MSG_DONTWAIT = 0x40;
const SHUT_WR = 1;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SOCK_STREAM = 1;
const SO_ACCEPTCONN = 30;
const SO_DOMAIN = 39;
const AF_UNIX = 1;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
const POSIX_FADV_RANDOM = 1;
const POSIX_FADV_DONTNEED = 4;
const AT_EMPTY_PATH = 0x1000;
const STATX_DIOALIGN = 0x2000;
const STATX_BTIME = 0x800;
/** sizeof(struct statx), and where its stx_btime, dio_mem_align and dio_offset_align are. */
const STATX_BYTES = 256;
const STATX_BORN = 80;
const STATX_DIO_MEM = 152;
const STATX_DIO_OFFSET = 156;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const LOOP_GET_STATUS64 = 0x4c05;
/** sizeof(struct loop_info64), and where its lo_offset is; it begins with lo_device, lo_inode and lo_rdevice. */
const LOOP_INFO_BYTES = 232;
const LOOP_INFO_OFFSET = 24;
const SO_KEEPALIVE = 9;
const IPPROTO_TCP = 6;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;
/** Bytes of a cpu_set_t: 1024 processors. */
const CPU_SET_BYTES = 128;

/** A second descriptor for the same open socket, close-on-exec. */
export function dup(fd: number): number {
  return result(cDup(fd, F_DUPFD_CLOEXEC, 0));
}

/** One struct pollfd, as words: to pass an object takes three times as long. */
const asked = new Int32Array(2);
const askedEvents = new Int16Array(asked.buffer, 4);

/** What of `events`, or of what is always told, is there within `ms`; 0 if nothing is. */
function poll(fd: number, events: number, ms: number): number {
  asked[0] = fd;
  askedEvents[0] = events;
  return cPoll(asked, 1, ms) > 0 ? askedEvents[1] : 0;
}

/** True once the peer has shut its side down, or the socket failed; data may still be unread. */
export function peerClosed(fd: number): boolean {
  return (poll(fd, POLLRDHUP, 0) & (POLLRDHUP | POLLERR_HUP_NVAL)) !== 0;
}

/** Holds the calling thread until a write would take something, or fail; at most `ms`. */
export function waitWritable(fd: number, ms: number): void {
  poll(fd, POLLOUT, ms);
}

/** As waitWritable, for a read. A signal may end the wait earlier. */
export function waitReadable(fd: number, ms: number): boolean {
  return poll(fd, POLLIN, ms) !== 0;
}

/** Nothing more is sent: the peer meets the end, and may send on. 0 or -errno. */
export function shutdownWrites(fd: number): number {
  return result(cShutdown(fd, SHUT_WR));
}

/** Whether both ends of a socket are on this machine, with one buffer between them. */
export function isUnixSocket(fd: number): boolean {
  return optionIs(fd, SO_DOMAIN, AF_UNIX);
}

/** Whether it is a stream socket that accepts connections; false for whatever else is open there, or nothing. */
export function isListening(fd: number): boolean {
  return optionIs(fd, SO_ACCEPTCONN, 1) && optionIs(fd, SO_TYPE, SOCK_STREAM);
}

function optionIs(fd: number, option: number, value: number): boolean {
  const found = [0];
  return cGetsockopt(fd, SOL_SOCKET, option, found, [4]) === 0 && found[0] === value;
}

/** Copies what the kernel holds unread for this socket into `into`, and leaves it there; returns bytes or -errno. */
export function peek(fd: number, into: Uint8Array): number {
  return result(Number(cRecv(fd, into, into.length, MSG_PEEK_DONTWAIT)));
}

/** Takes bytes from a socket that nobody else reads now; returns how many, 0 at the end, or -errno. */
export function receive(fd: number, into: Uint8Array): number {
  return result(Number(cRecv(fd, into, into.length, MSG_DONTWAIT)));
}

/** Punches a hole without changing the size; calls back with 0 or -errno. Runs on a thread of the pool. */
export function punchHole(fd: number, offset: number, bytes: number, done: (code: number) => void): void {
  cFallocate.async(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, offset, bytes, (error: Error | null, value: number) =>
    done(error !== null ? -5 : value < 0 ? -koffi.errno() : 0),
  );
}

/** Tells the page cache that reads jump about, so that it does not read ahead. Advice only: its answer changes nothing. */
export function adviseRandom(fd: number): number {
  return -cFadvise(fd, 0, 0, POSIX_FADV_RANDOM);
}

/** Drops the clean pages of a file from the page cache; calls back with 0 or -errno. Runs on a thread of the pool. */
export function dropCache(fd: number, done: (code: number) => void): void {
  cFadvise.async(fd, 0, 0, POSIX_FADV_DONTNEED, (error: Error | null, value: number) =>
    done(error !== null ? -5 : -value),
  );
}

/** What O_DIRECT needs of memory and offsets, both 0 where it can't be had; null when the kernel doesn't say (before 6.1). */
export function directAlignment(fd: number): { memory: number; offset: number } | null {
  const out = Buffer.alloc(STATX_BYTES);
  if (cStatx(fd, '', AT_EMPTY_PATH, STATX_DIOALIGN, out) < 0) return null;
  if ((out.readUInt32LE(0) & STATX_DIOALIGN) === 0) return null;
  return { memory: out.readUInt32LE(STATX_DIO_MEM), offset: out.readUInt32LE(STATX_DIO_OFFSET) };
}

/** When the file was made, in seconds with nanoseconds; null where the file system does not keep it. */
export function birthTime(fd: number): string | null {
  const out = Buffer.alloc(STATX_BYTES);
  if (cStatx(fd, '', AT_EMPTY_PATH, STATX_BTIME, out) < 0) return null;
  if ((out.readUInt32LE(0) & STATX_BTIME) === 0) return null;
  const nanoseconds = String(out.readUInt32LE(STATX_BORN + 8)).padStart(9, '0');
  return `${out.readBigInt64LE(STATX_BORN)}.${nanoseconds}`;
}

/** An extended attribute of an open file, copied into `into`; returns its bytes or -errno. */
export function getAttribute(fd: number, name: string, into: Uint8Array): number {
  return result(Number(cGetXattr(fd, name, into, into.length)));
}

/** As getAttribute; calls back. Runs on a thread of the pool. */
export function getAttributeLater(fd: number, name: string, into: Uint8Array, done: (found: number) => void): void {
  const after = (error: Error | null, found: number): void => done(error !== null ? -5 : result(Number(found)));
  cGetXattr.async(fd, name, into, into.length, after);
}

/** The kernel's XATTR_LIST_MAX. */
const ATTRIBUTES_BYTES = 65_536;

/** The names of the extended attributes of an open file; none where they can't be listed, as on a file system without. */
export function listAttributes(fd: number): string[] {
  const out = Buffer.alloc(ATTRIBUTES_BYTES);
  const bytes = Number(cListXattr(fd, out, out.length));
  return bytes <= 0 ? [] : out.toString('latin1', 0, bytes - 1).split('\0');
}

/** 0 or -errno. */
export function setAttribute(fd: number, name: string, value: Uint8Array): number {
  return result(cSetXattr(fd, name, value, value.length, 0));
}

/** 0 or -errno. */
export function removeAttribute(fd: number, name: string): number {
  return result(cRemoveXattr(fd, name));
}

/** As setAttribute, and for null as removeAttribute; calls back with 0 or -errno. Runs on a thread of the pool. */
export function changeAttribute(
  fd: number,
  name: string,
  value: Uint8Array | null,
  done: (code: number) => void,
): void {
  const after = (error: Error | null, code: number): void => done(error !== null ? -5 : code < 0 ? -koffi.errno() : 0);
  if (value === null) cRemoveXattr.async(fd, name, after);
  else cSetXattr.async(fd, name, value, value.length, 0, after);
}

/** The next data extent at or after `from`: [start, end), or null when the rest is a hole. Throws nothing. */
export function nextData(fd: number, from: number): { start: number; end: number } | null | 'unsupported' {
  const start = result(Number(cLseek(fd, from, SEEK_DATA)));
  if (start === -ENXIO) return null;
  if (start < 0) return 'unsupported';
  const end = result(Number(cLseek(fd, start, SEEK_HOLE)));
  return end < 0 ? 'unsupported' : { start, end };
}

/** Which file is behind a loop device, as stat has it, and where in it the device begins. */
export interface LoopFile {
  dev: bigint;
  ino: bigint;
  /** The block device that the file is a node of; null for a regular file. */
  rdev: number | null;
  offset: number;
}

/** Whether it is a loop device that is over nothing. */
export function isFreeLoop(fd: number): boolean {
  return result(cIoctl(fd, LOOP_GET_STATUS64, Buffer.alloc(LOOP_INFO_BYTES))) === -ENXIO;
}

/** null for what is no loop device in use. */
export function loopFile(fd: number): LoopFile | null {
  const out = Buffer.alloc(LOOP_INFO_BYTES);
  if (cIoctl(fd, LOOP_GET_STATUS64, out) < 0) return null;
  const word = (at: number): bigint => out.readBigUInt64LE(at);
  const [dev, rdev] = [word(0), word(16)];
  // Up to Linux 5.16 lo_rdevice is that of the file system for a regular file.
  const over = rdev === 0n || rdev === dev ? null : Number(rdev);
  return { dev, ino: word(8), rdev: over, offset: Number(word(LOOP_INFO_OFFSET)) };
}

/**
 * Ends a TCP connection whose peer has vanished: after `idle` seconds of silence it is asked, every `interval` seconds, and
 * given up when `count` of these in a row were not answered. 0 or -errno.
 */
export function keepAlive(fd: number, o: { idle: number; interval: number; count: number }): number {
  const options = [
    [SOL_SOCKET, SO_KEEPALIVE, 1],
    [IPPROTO_TCP, TCP_KEEPIDLE, o.idle],
    [IPPROTO_TCP, TCP_KEEPINTVL, o.interval],
    [IPPROTO_TCP, TCP_KEEPCNT, o.count],
  ] as const;
  for (const [level, name, value] of options) {
    const code = result(cSetSocketOption(fd, level, name, [value], 4));
    if (code < 0) return code;
  }
  return 0;
}

/** Numbers of the processors that the calling thread may run on; empty if the kernel does not say. */
export function processors(): number[] {
  const mask = Buffer.alloc(CPU_SET_BYTES);
  if (cGetAffinity(0, CPU_SET_BYTES, mask) < 0) return [];
  return Array.from({ length: CPU_SET_BYTES * 8 }, (_, cpu) => cpu).filter(
    (cpu) => ((mask[cpu >>> 3] >>> (cpu & 7)) & 1) === 1,
  );
}

/** Keeps the calling thread, and those it starts from here on, to these processors: 0 or -errno. */
export function runOn(cpus: readonly number[]): number {
  const mask = Buffer.alloc(CPU_SET_BYTES);
  for (const cpu of cpus) mask[cpu >>> 3] |= 1 << (cpu & 7);
  return result(cSetAffinity(0, CPU_SET_BYTES, mask));
}
