/**
 * Safeguards that are taken out (`debug.break`), so that whoever tests this server can see that his test notices. Each is what
 * a mistake would look like: the rest of the server does not know. Without checksums there is nothing to do here.
 */
import { type DeviceRequest, NBD_CMD_DISC, NBD_REQUEST_BYTES, NBD_REQUEST_MAGIC, OK, WAIT } from 'node-nbd-server';
import type { Config } from '../config/schema.ts';
import { peek } from '../os/syscalls.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { Volume } from '../zswap/volume.ts';

/** Between an answer and the store that it was for. */
const EARLY_MS = 20;

export function volumeOf(broken: Config['debug']['break']): typeof Volume {
  if (broken === 'early-reply') return EarlyVolume;
  return broken === 'fsync' ? UnsyncedVolume : Volume;
}

/** Answers a WRITE, and stores it later. */
class EarlyVolume extends Volume {
  override write(_request: DeviceRequest, slot: number, src: Uint8Array, at: number): number {
    const page = new Uint8Array(src.subarray(at, at + PAGE_SIZE));
    const store = (): void => {
      const result = super.write(later, slot, page, 0);
      if (result !== WAIT) later.settle(result);
    };
    const later: DeviceRequest = { fenced: () => false, settle: () => undefined, resume: () => setImmediate(store) };
    setTimeout(store, EARLY_MS);
    return OK;
  }
}

/** Answers FLUSH, and does nothing for it. */
class UnsyncedVolume extends Volume {
  override flush(request: DeviceRequest): void {
    setImmediate(() => request.settle(0));
  }
}

/** What lies unread of a connection, with a goodbye behind it that its client has not said: so all of it is done. */
export function peekGoodbye(fd: number, into: Uint8Array): number {
  const bytes = Math.max(0, peek(fd, into));
  if (bytes + NBD_REQUEST_BYTES > into.length) return bytes;
  const view = new DataView(into.buffer, into.byteOffset + bytes, NBD_REQUEST_BYTES);
  into.fill(0, bytes, bytes + NBD_REQUEST_BYTES);
  view.setUint32(0, NBD_REQUEST_MAGIC);
  view.setUint16(6, NBD_CMD_DISC);
  return bytes + NBD_REQUEST_BYTES;
}
