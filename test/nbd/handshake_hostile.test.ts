/** Inputs that broke other servers: long names, lengths that overflow, floods; the answer is an error or the door. */
import * as wire from 'node-nbd-server';
import t from 'tap';
import { Driver, infoData, option, u16, u32 } from '../support/handshake_driver.ts';

const NAMED = [wire.NBD_OPT_INFO, wire.NBD_OPT_GO];

t.test('legal names up to 4096 bytes are unknown, longer ones invalid, in sync throughout', (t) => {
  for (const code of NAMED) {
    const driver = new Driver();
    for (const length of [256, 257, 1018, 1024, 3000, 4095, 4096]) {
      const replies = driver.ask(code, infoData('a'.repeat(length)));
      t.equal(replies.at(-1)?.type, wire.NBD_REP_ERR_UNKNOWN, `${length} bytes`);
      t.ok(replies[0].data.length <= 256, 'error string is short');
      t.ok(driver.inSync());
    }
    for (const length of [4097, 5000, 16378]) {
      t.equal(driver.verdict(code, infoData('a'.repeat(length))), wire.NBD_REP_ERR_INVALID, `${length} bytes`);
      t.ok(driver.inSync());
    }
    t.equal(driver.verdict(code, infoData('a'.repeat(16379))), wire.NBD_REP_ERR_TOO_BIG);
    t.ok(driver.inSync());
  }
  t.end();
});

t.test('every name length from 257 to 4096 is answered in sync', (t) => {
  let driver = new Driver();
  let bad = 0;
  for (let length = 257; length <= 4096; length++) {
    // A connection may send 1024 options, so a new one is opened now and then.
    if (length % 500 === 0) driver = new Driver();
    if (driver.verdict(wire.NBD_OPT_INFO, infoData('a'.repeat(length))) !== wire.NBD_REP_ERR_UNKNOWN) bad++;
    if (!driver.inSync()) bad++;
  }
  t.equal(bad, 0);
  t.end();
});

t.test('an error string is cut between characters', (t) => {
  // Control characters grow to six bytes each, which puts the cut into the middle of a three-byte character.
  const long = `${'\x01'.repeat(20)}${'\u4e2d'.repeat(1000)}`;
  const reply = new Driver().ask(wire.NBD_OPT_GO, infoData(long))[0];
  t.ok(reply.data.length <= 256 && reply.data.length > 252);
  t.notMatch(reply.data.toString('utf8'), /\ufffd/);
  t.end();
});

t.test('names with NUL or bad UTF-8 are invalid', (t) => {
  const driver = new Driver();
  for (const name of [Buffer.from('a\0b'), Buffer.from([0xc3]), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from([0xff])]) {
    t.equal(driver.verdict(wire.NBD_OPT_GO, infoData(name)), wire.NBD_REP_ERR_INVALID);
    t.ok(driver.inSync());
  }
  t.end();
});

t.test('lengths inside INFO and GO are checked against the option length', (t) => {
  const bad = {
    empty: Buffer.alloc(0),
    'five bytes': Buffer.alloc(5),
    'name length of 2^32-1': Buffer.concat([u32(0xffffffff), u16(0)]),
    'name length of 2^32-1 with data': Buffer.concat([u32(0xffffffff), Buffer.alloc(2000)]),
    'name longer than the option by one': Buffer.concat([u32(1), Buffer.from('ab')]),
    'count without requests': Buffer.concat([u32(0), u16(1)]),
    'count of 65535': Buffer.concat([u32(0), u16(65535, 0)]),
    'data after the requests': Buffer.concat([u32(0), u16(0, 0)]),
    'odd byte at the end': Buffer.concat([u32(0), u16(0), Buffer.alloc(1)]),
  };
  for (const code of NAMED) {
    const driver = new Driver();
    for (const [what, data] of Object.entries(bad)) {
      t.equal(driver.verdict(code, data), wire.NBD_REP_ERR_INVALID, what);
      t.ok(driver.inSync(), what);
    }
  }
  t.end();
});

t.test('an INFO option longer than 1024 bytes is served', (t) => {
  const infos = Array.from({ length: 2000 }, (_, i) => i);
  t.equal(new Driver().verdict(wire.NBD_OPT_INFO, infoData('disk', ...infos)), wire.NBD_REP_ACK);
  t.end();
});

t.test('an option length beyond the bound drops the connection at the header', (t) => {
  for (const code of [1, 2, 3, 5, 6, 7, 8, 9, 10, 99]) {
    for (const length of [65537, 0x7fffffff, 0x80000000, 0xffffffff]) {
      const driver = new Driver();
      driver.feed(option(code, '', length));
      t.equal(driver.state, 'dropped', `option ${code} of ${length} bytes`);
      t.equal(driver.out.length, 0);
    }
  }
  t.end();
});

t.test('a connection may send 1024 options', (t) => {
  const driver = new Driver();
  for (let i = 0; i < 1024; i++) driver.feed(option(99));
  t.equal(driver.replies().length, 1024);
  t.equal(driver.state, 'options');
  driver.feed(option(wire.NBD_OPT_GO, infoData('disk')));
  t.equal(driver.state, 'dropped');
  t.end();
});

t.test('a client that asks for lists without end is dropped before it fills the memory', (t) => {
  const exports = Array.from({ length: 50 }, (_, i) => ({
    ...{ name: `e${i}`, description: 'd'.repeat(4096), size: 0, flags: 1 },
    ...{ minBlock: 1, preferredBlock: 4096, maxBlock: 1 << 25 },
  }));
  const driver = new Driver({ exports });
  let bytes = 0;
  for (let i = 0; i < 1000 && driver.state === 'options'; i++) {
    driver.feed(option(wire.NBD_OPT_LIST));
    bytes += driver.out.length;
    driver.out = Buffer.alloc(0);
  }
  t.equal(driver.state, 'dropped');
  t.ok(bytes <= 8 * 1024 * 1024);
  t.end();
});

t.test('options in an odd order are answered one by one', (t) => {
  const driver = new Driver();
  t.equal(driver.verdict(wire.NBD_OPT_SET_META_CONTEXT, Buffer.alloc(0)), wire.NBD_REP_ERR_INVALID);
  t.equal(driver.verdict(wire.NBD_OPT_STARTTLS), wire.NBD_REP_ERR_POLICY);
  t.equal(driver.verdict(wire.NBD_OPT_INFO, infoData('other')), wire.NBD_REP_ACK);
  t.equal(driver.verdict(wire.NBD_OPT_GO, infoData('nothing')), wire.NBD_REP_ERR_UNKNOWN);
  t.equal(driver.verdict(wire.NBD_OPT_STRUCTURED_REPLY), wire.NBD_REP_ACK);
  t.equal(driver.verdict(wire.NBD_OPT_STARTTLS), wire.NBD_REP_ERR_POLICY);
  t.equal(driver.verdict(wire.NBD_OPT_GO, infoData('disk')), wire.NBD_REP_ACK);
  t.equal(driver.handshake.negotiated?.structured, true);
  t.end();
});

t.test('a request in place of an option drops the connection', (t) => {
  const driver = new Driver();
  driver.feed(Buffer.concat([u32(wire.NBD_REQUEST_MAGIC), Buffer.alloc(24)]));
  t.equal(driver.state, 'dropped');
  t.end();
});

t.test('bytes after the end are not taken', (t) => {
  const driver = new Driver();
  const abort = option(wire.NBD_OPT_ABORT);
  t.equal(driver.feed(Buffer.concat([abort, option(wire.NBD_OPT_LIST)])), abort.length);
  t.equal(driver.replies().length, 1);
  t.end();
});
