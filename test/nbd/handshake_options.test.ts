/** Each option of the handshake is answered as the specification asks. */
import * as wire from 'node-nbd-server';
import { Handshake } from 'node-nbd-server';
import t from 'tap';
import { DISK, Driver, infoData, OTHER, option, u16, u32 } from '../support/handshake_driver.ts';

t.test('greeting offers fixed newstyle and no zeroes, and nothing else', (t) => {
  const out: Uint8Array[] = [];
  new Handshake({ exports: [DISK], write: (bytes) => out.push(bytes) }).start();
  const head = u32(wire.NBDMAGIC_HI, wire.NBDMAGIC_LO, wire.IHAVEOPT_HI, wire.IHAVEOPT_LO);
  t.same(Buffer.concat(out), Buffer.concat([head, u16(3)]));
  t.end();
});

t.test('unknown client flags drop the connection', (t) => {
  for (const flags of [4, 7, 0x80000000, 0xffffffff]) {
    const driver = new Driver({}, flags);
    t.equal(driver.state, 'dropped');
    t.equal(driver.out.length, 0);
  }
  t.end();
});

t.test('a client without fixed newstyle may send EXPORT_NAME only', (t) => {
  const list = new Driver({}, 0);
  list.feed(option(wire.NBD_OPT_LIST));
  t.equal(list.state, 'dropped');
  const name = new Driver({}, 0);
  name.feed(option(wire.NBD_OPT_EXPORT_NAME, 'disk'));
  t.equal(name.state, 'transmission');
  t.end();
});

t.test('bad option magic drops the connection', (t) => {
  const driver = new Driver();
  driver.feed(u32(wire.IHAVEOPT_HI, wire.IHAVEOPT_LO + 1, wire.NBD_OPT_LIST, 0));
  t.equal(driver.state, 'dropped');
  t.end();
});

t.test('ABORT is acknowledged, with data or without, and closes', (t) => {
  for (const data of ['', 'bye', Buffer.alloc(30000)]) {
    const driver = new Driver();
    t.same(driver.ask(wire.NBD_OPT_ABORT, data), [
      { option: wire.NBD_OPT_ABORT, type: wire.NBD_REP_ACK, data: Buffer.alloc(0) },
    ]);
    t.equal(driver.state, 'closed');
    t.equal(driver.handshake.negotiated, null);
  }
  t.end();
});

t.test('LIST names every export, refuses data, and can be forbidden', (t) => {
  const driver = new Driver();
  const replies = driver.ask(wire.NBD_OPT_LIST);
  t.same(
    replies.map((reply) => reply.type),
    [wire.NBD_REP_SERVER, wire.NBD_REP_SERVER, wire.NBD_REP_ACK],
  );
  t.same(replies[0].data, Buffer.concat([u32(4), Buffer.from('diskfirst export')]));
  t.same(replies[1].data, Buffer.concat([u32(5), Buffer.from('other')]));
  t.equal(driver.verdict(wire.NBD_OPT_LIST, 'x'), wire.NBD_REP_ERR_INVALID);
  t.ok(driver.inSync());
  t.equal(new Driver({ listing: false }).verdict(wire.NBD_OPT_LIST), wire.NBD_REP_ERR_POLICY);
  t.end();
});

t.test('STARTTLS is refused by policy, or as invalid if it carries data', (t) => {
  const driver = new Driver();
  t.equal(driver.verdict(wire.NBD_OPT_STARTTLS), wire.NBD_REP_ERR_POLICY);
  t.equal(driver.verdict(wire.NBD_OPT_STARTTLS), wire.NBD_REP_ERR_POLICY);
  t.equal(driver.verdict(wire.NBD_OPT_STARTTLS, 'x'), wire.NBD_REP_ERR_INVALID);
  t.ok(driver.inSync());
  t.end();
});

t.test('withdrawn, unoffered and unknown options are unsupported, their data swallowed', (t) => {
  const driver = new Driver();
  for (const code of [0, wire.NBD_OPT_PEEK_EXPORT, wire.NBD_OPT_EXTENDED_HEADERS, 12, 0x7fffffff, 0xffffffff]) {
    for (const data of [Buffer.alloc(0), Buffer.alloc(7, 0xff), Buffer.alloc(65536, 0x49)]) {
      const replies = driver.ask(code, data);
      t.equal(replies.length, 1);
      t.equal(replies[0].option, code);
      t.equal(replies[0].type, wire.NBD_REP_ERR_UNSUP);
    }
  }
  t.ok(driver.inSync());
  t.end();
});

t.test('STRUCTURED_REPLY refuses data, may be repeated, and adds DF to the flags', (t) => {
  const driver = new Driver();
  t.equal(driver.verdict(wire.NBD_OPT_STRUCTURED_REPLY, 'x'), wire.NBD_REP_ERR_INVALID);
  t.same(driver.ask(wire.NBD_OPT_INFO, infoData('disk'))[0].data.readUInt16BE(10), DISK.flags);
  t.equal(driver.verdict(wire.NBD_OPT_STRUCTURED_REPLY), wire.NBD_REP_ACK);
  t.equal(driver.verdict(wire.NBD_OPT_STRUCTURED_REPLY), wire.NBD_REP_ACK);
  t.same(driver.ask(wire.NBD_OPT_GO, infoData('disk'))[0].data.readUInt16BE(10), DISK.flags | wire.NBD_FLAG_SEND_DF);
  t.same(driver.handshake.negotiated, { export: DISK, structured: true, baseAllocation: false });
  t.end();
});

t.test('everything but ABORT is refused while the server stops', (t) => {
  let stopping = false;
  const driver = new Driver({ stopping: () => stopping });
  t.equal(driver.verdict(wire.NBD_OPT_STRUCTURED_REPLY), wire.NBD_REP_ACK);
  stopping = true;
  for (const code of [3, 4, 5, 6, 7, 8, 9, 10, 11, 99]) {
    t.equal(driver.verdict(code, infoData('disk')), wire.NBD_REP_ERR_SHUTDOWN);
  }
  t.equal(driver.verdict(wire.NBD_OPT_ABORT), wire.NBD_REP_ACK);
  const named = new Driver({ stopping: () => stopping });
  named.feed(option(wire.NBD_OPT_EXPORT_NAME, 'disk'));
  t.equal(named.state, 'closed');
  t.equal(named.out.length, 0);
  t.end();
});

t.test('EXPORT_NAME sends pad bytes unless they were negotiated off', (t) => {
  for (const [flags, length] of [
    [wire.NBD_FLAG_C_FIXED_NEWSTYLE, 134],
    [wire.NBD_FLAG_C_FIXED_NEWSTYLE | wire.NBD_FLAG_C_NO_ZEROES, 10],
  ]) {
    const driver = new Driver({}, flags);
    driver.feed(option(wire.NBD_OPT_EXPORT_NAME, 'other'));
    const expected = Buffer.alloc(length);
    expected.writeBigUInt64BE(BigInt(OTHER.size), 0);
    expected.writeUInt16BE(OTHER.flags, 8);
    t.same(driver.out, expected);
    t.equal(driver.state, 'transmission');
    t.equal(driver.handshake.negotiated?.export, OTHER);
  }
  t.end();
});

t.test('EXPORT_NAME of an unknown or illegal name closes without a word', (t) => {
  for (const name of ['nothing', 'disk\0', Buffer.from([0xff]), Buffer.alloc(4097, 'a'), Buffer.alloc(20000, 'a')]) {
    const driver = new Driver();
    driver.feed(option(wire.NBD_OPT_EXPORT_NAME, name));
    t.equal(driver.state, 'closed');
    t.equal(driver.out.length, 0);
    t.equal(driver.handshake.negotiated, null);
  }
  t.end();
});

t.test('an empty name means the first export, unless an export has the empty name', (t) => {
  const driver = new Driver();
  driver.feed(option(wire.NBD_OPT_EXPORT_NAME));
  t.equal(driver.handshake.negotiated?.export, DISK);
  const nameless = { ...OTHER, name: '' };
  const second = new Driver({ exports: [DISK, nameless] });
  second.feed(option(wire.NBD_OPT_GO, infoData('')));
  t.equal(second.handshake.negotiated?.export, nameless);
  t.equal(new Driver({ exports: [] }).verdict(wire.NBD_OPT_GO, infoData('')), wire.NBD_REP_ERR_UNKNOWN);
  t.end();
});
