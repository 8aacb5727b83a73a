/** System calls on the addresses of unix sockets, through koffi: whom to send to, and what an open socket is bound to. */
import { EINVAL } from './errno.ts';
import { libc, result } from './libc.ts';

const cSocket = libc.func('int socket(int domain, int type, int protocol)');
const cSendTo = libc.func(
  'int64_t sendto(int fd, const uint8_t *buf, size_t len, int flags, const uint8_t *addr, unsigned int addrlen)',
);
const cClose = libc.func('int close(int fd)');
const cGetSockName = libc.func('int getsockname(int fd, _Out_ uint8_t *addr, _Inout_ uint32_t *length)');

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0x80000;
const MSG_DONTWAIT_NOSIGNAL = 0x40 | 0x4000;
/** Bytes of sun_path, and of what is before it. */
const UNIX_PATH_BYTES = 108;
const FAMILY_BYTES = 2;

/** The path that a unix socket is bound to; null for another socket, and one that has an abstract name or none. */
export function boundPath(fd: number): string | null {
  // A path of all 108 bytes is told with a zero byte more (unix(7)).
  const name = Buffer.alloc(FAMILY_BYTES + UNIX_PATH_BYTES + 1);
  const length = [name.length];
  if (cGetSockName(fd, name, length) < 0 || name.readUInt16LE(0) !== AF_UNIX) return null;
  const path = name.subarray(FAMILY_BYTES, Math.min(name.length, length[0]));
  if (path.length === 0 || path[0] === 0) return null;
  const end = path.indexOf(0);
  return path.subarray(0, end < 0 ? path.length : end).toString();
}

/**
 * Sends one datagram to a unix socket, a path or, with a leading @, an abstract name, and does not wait: 0 or -errno; an
 * address that no unix socket can have is -EINVAL.
 */
export function sendUnixDatagram(address: string, payload: Uint8Array): number {
  const name = Buffer.from(address);
  const abstract = name[0] === 0x40;
  // A path ends in a zero byte inside sun_path; an abstract name begins with one, and ends where the address does.
  if (name.length < 2 || name.length > UNIX_PATH_BYTES - (abstract ? 0 : 1)) return -EINVAL;
  if (abstract) name[0] = 0;
  const to = Buffer.alloc(2 + name.length + (abstract ? 0 : 1));
  to.writeUInt16LE(AF_UNIX, 0);
  name.copy(to, 2);
  const fd = result(cSocket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0));
  if (fd < 0) return fd;
  const sent = result(Number(cSendTo(fd, payload, payload.length, MSG_DONTWAIT_NOSIGNAL, to, to.length)));
  cClose(fd);
  return Math.min(sent, 0);
}
