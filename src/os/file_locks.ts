/** Locks on open files, through koffi: of whole files (flock), and of ranges (open file description locks). 0 or more, or -errno. */
import koffi from 'koffi';
import { libc, result } from './libc.ts';

const cFlock = libc.func('int flock(int fd, int operation)');
const cFcntlLock = libc.func('fcntl', 'int', ['int', 'int', koffi.inout(koffi.pointer('uint8_t'))]);

const LOCK_SH_NB = 1 | 4;
const LOCK_EX_NB = 2 | 4;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
/** sizeof(struct flock), and where its l_type, l_start and l_len are. */
const FLOCK_BYTES = 32;
const FLOCK_TYPE = 0;
const FLOCK_START = 8;
const FLOCK_LENGTH = 16;

type Kind = 'exclusive' | 'shared';

/** Takes a lock on an open file without waiting: 0, or -EAGAIN when another open file holds one that does not go with it. */
export function lockFile(fd: number, kind: Kind = 'exclusive'): number {
  return result(cFlock(fd, kind === 'shared' ? LOCK_SH_NB : LOCK_EX_NB));
}

/** As lockFile, for a range of its bytes (0: all behind `start`), and independent of it: -EAGAIN where another open file holds some of them. */
export function lockRange(fd: number, start: number, bytes: number, kind: Kind = 'exclusive'): number {
  return result(cFcntlLock(fd, F_OFD_SETLK, range(kind === 'shared' ? F_RDLCK : F_WRLCK, start, bytes)));
}

/** Whether the first lock that another open file holds on a range is a shared one; or -errno. */
export function isShared(fd: number, start: number, bytes: number): boolean | number {
  const lock = range(F_WRLCK, start, bytes);
  const code = result(cFcntlLock(fd, F_OFD_GETLK, lock));
  return code < 0 ? code : lock.readInt16LE(FLOCK_TYPE) === F_RDLCK;
}

function range(type: number, start: number, bytes: number): Buffer {
  const lock = Buffer.alloc(FLOCK_BYTES);
  lock.writeInt16LE(type, FLOCK_TYPE);
  lock.writeBigInt64LE(BigInt(start), FLOCK_START);
  lock.writeBigInt64LE(BigInt(bytes), FLOCK_LENGTH);
  return lock;
}
