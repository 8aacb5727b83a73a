/**
 * A client on the other end of a pair that delivers at once: what it writes arrives in the call that writes it, and so does
 * its answer, in the middle of whatever the connection is doing.
 *
 * Seen to fail where StreamTransport passed bytes on as they came: a connection that was entered twice mixed up its replies,
 * and hung when its handshake was answered in one go.
 */
import { Duplex } from 'node:stream';
import * as wire from 'node-nbd-server';
import { serve } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { ram } from '../support/byte_server.ts';
import { FIXED, infoData, option, u32 } from '../support/handshake_driver.ts';
import { until } from '../support/nbd_server.ts';
import { rawRequest } from '../support/raw_client.ts';

const SIZE = 4 * 2 ** 20;
const READ_BYTES = 300_000;
const GREETING_BYTES = 18;
const REPLY_BYTES = 16;

class End extends Duplex {
  other!: End;
  #go: (() => void) | null = null;

  override _read(): void {
    const go = this.#go;
    this.#go = null;
    go?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.other.#go = done;
    this.other.push(chunk);
  }

  override _final(done: () => void): void {
    this.other.push(null);
    done();
  }
}

function pair(): [End, End] {
  const [one, other] = [new End(), new End()];
  one.other = other;
  other.other = one;
  return [one, other];
}

/** Every four bytes tell where they are. */
function numbered(): ReturnType<typeof ram> {
  const disk = ram({ size: SIZE });
  for (let at = 0; at < SIZE; at += 4) disk.bytes.writeUInt32LE(at, at);
  return disk;
}

/** A client that answers whatever it gets in the same call: `each` gets what is unread, and returns how much it took. */
function answering(end: End, each: (unread: Buffer) => number): void {
  let unread: Buffer = Buffer.alloc(0);
  end.on('data', (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    // What comes while `each` answers is behind what it has taken.
    for (let n = each(unread); n > 0; n = each(unread)) unread = unread.subarray(n);
  });
}

/** Goes through the handshake, and then does as it is told: `begin` once, `each` with what has come. */
function client(end: End, begin: () => void, each: (unread: Buffer) => number): void {
  let stage: 'greeting' | 'options' | 'transmission' = 'greeting';
  answering(end, (unread) => {
    if (stage === 'transmission') return each(unread);
    if (stage === 'greeting') {
      if (unread.length < GREETING_BYTES) return 0;
      stage = 'options';
      end.write(u32(FIXED));
      end.write(option(wire.NBD_OPT_GO, infoData('ram')));
      return GREETING_BYTES;
    }
    if (unread.length < 20 || unread.length < 20 + unread.readUInt32BE(16)) return 0;
    if (unread.readUInt32BE(12) === wire.NBD_REP_ACK) {
      stage = 'transmission';
      begin();
    }
    return 20 + unread.readUInt32BE(16);
  });
}

async function ended(t: Test, server: { readonly connections: number }, end: End): Promise<void> {
  end.end(rawRequest(wire.NBD_CMD_DISC, 0, 0, 0, 0));
  await until(() => server.connections === 0);
  t.pass('the connection has ended');
}

t.test('each READ is asked for in the call that brings the reply before', async (t) => {
  const server = await serve(numbered());
  t.teardown(() => server.close(0));
  const [one, other] = pair();
  const asked = new Map<number, number>();
  let done = 0;
  let wrong = 0;
  const ask = (): void => {
    const cookie = done + asked.size + 1;
    const offset = (cookie * 10 * 4096) % (SIZE - READ_BYTES);
    asked.set(cookie, offset);
    other.write(rawRequest(wire.NBD_CMD_READ, 0, cookie, offset, READ_BYTES));
  };
  client(
    other,
    () => {
      for (let i = 0; i < 4; i++) ask();
    },
    (unread) => {
      if (unread.length < REPLY_BYTES + READ_BYTES) return 0;
      const cookie = unread.readUInt32BE(12);
      const offset = asked.get(cookie) ?? Number.NaN;
      if (unread.readUInt32BE(0) !== wire.NBD_SIMPLE_REPLY_MAGIC) wrong++;
      for (let at = 0; at < READ_BYTES; at += 4096) if (unread.readUInt32LE(REPLY_BYTES + at) !== offset + at) wrong++;
      asked.delete(cookie);
      done++;
      if (done + asked.size < 100) ask();
      return REPLY_BYTES + READ_BYTES;
    },
  );
  server.accept(one);
  await until(() => done === 100 || wrong > 0);
  t.equal(wrong, 0, 'every reply is whole, and of its request');
  await ended(t, server, other);
});

t.test('a device whose method makes its own client send more', async (t) => {
  const disk = numbered();
  const [one, other] = pair();
  let asked = 0;
  let done = 0;
  const ask = (): void => {
    other.write(rawRequest(wire.NBD_CMD_READ, 0, ++asked, 4 * asked, 4));
  };
  const read = (offset: number, into: Uint8Array): void => {
    if (asked < 20) ask();
    into.set(disk.bytes.subarray(offset, offset + into.length));
  };
  const server = await serve({ ...disk, read });
  t.teardown(() => server.close(0));
  client(other, ask, (unread) => {
    if (unread.length < REPLY_BYTES + 4) return 0;
    t.equal(unread.readUInt32LE(REPLY_BYTES), 4 * unread.readUInt32BE(12));
    done++;
    return REPLY_BYTES + 4;
  });
  server.accept(one);
  await until(() => done === 20);
  await ended(t, server, other);
});

t.test('what was written before a goodbye is done, and answered, when the end comes in the same call', async (t) => {
  const disk = ram({ size: SIZE });
  const server = await serve(disk);
  t.teardown(() => server.close(0));
  const [one, other] = pair();
  let answers = 0;
  const begin = (): void => {
    for (let i = 0; i < 100; i++) {
      other.write(rawRequest(wire.NBD_CMD_WRITE, 0, i, i * 4096, 4096));
      other.write(Buffer.alloc(4096, 1));
    }
    other.end(rawRequest(wire.NBD_CMD_DISC, 0, 0, 0, 0));
  };
  client(other, begin, (unread) => {
    if (unread.length < REPLY_BYTES) return 0;
    answers++;
    return REPLY_BYTES;
  });
  server.accept(one);
  await until(() => server.connections === 0);
  t.ok(disk.bytes.subarray(0, 100 * 4096).every((byte) => byte === 1));
  t.equal(answers, 100);
});

t.test('a client that destroys its stream in the call that greets it', async (t) => {
  const server = await serve(ram({}));
  t.teardown(() => server.close(0));
  const [one, other] = pair();
  other.once('data', () => {
    one.destroy();
    other.destroy();
  });
  server.accept(one);
  await until(() => server.connections === 0);
  t.pass('nothing was thrown');
});
