/** INFO and GO: which information is sent, and that both say the same. */
import * as wire from 'node-nbd-server';
import t from 'tap';
import { DISK, Driver, infoData, OTHER, u16, u32 } from '../support/handshake_driver.ts';

const ALL = [wire.NBD_INFO_BLOCK_SIZE, wire.NBD_INFO_DESCRIPTION, wire.NBD_INFO_NAME, wire.NBD_INFO_EXPORT];

t.test('INFO_EXPORT comes first and always, the others only when asked', (t) => {
  const driver = new Driver();
  const plain = driver.ask(wire.NBD_OPT_INFO, infoData('disk'));
  t.same(
    plain.map((reply) => reply.type),
    [wire.NBD_REP_INFO, wire.NBD_REP_ACK],
  );
  t.same(plain[0].data, Buffer.concat([u16(0), u32(2, 0), u16(DISK.flags)]));
  t.same(
    driver.ask(wire.NBD_OPT_INFO, infoData('disk', ...ALL)).map((reply) => reply.data),
    [
      plain[0].data,
      Buffer.concat([u16(wire.NBD_INFO_NAME), Buffer.from('disk')]),
      Buffer.concat([u16(wire.NBD_INFO_DESCRIPTION), Buffer.from('first export')]),
      Buffer.concat([u16(wire.NBD_INFO_BLOCK_SIZE), u32(1, 4096, 33554432)]),
      Buffer.alloc(0),
    ],
  );
  t.equal(driver.state, 'options');
  t.end();
});

t.test('unknown and repeated information requests are ignored', (t) => {
  const driver = new Driver();
  const replies = driver.ask(wire.NBD_OPT_INFO, infoData('disk', 4, 0xffff, wire.NBD_INFO_NAME, wire.NBD_INFO_NAME));
  t.same(
    replies.map((reply) => reply.type),
    [wire.NBD_REP_INFO, wire.NBD_REP_INFO, wire.NBD_REP_ACK],
  );
  t.end();
});

t.test('the name told for the default export is its real name', (t) => {
  const replies = new Driver().ask(wire.NBD_OPT_INFO, infoData('', wire.NBD_INFO_NAME));
  t.same(replies[1].data, Buffer.concat([u16(wire.NBD_INFO_NAME), Buffer.from('disk')]));
  t.end();
});

t.test('an export without a description sends none', (t) => {
  t.equal(new Driver().ask(wire.NBD_OPT_INFO, infoData('other', wire.NBD_INFO_DESCRIPTION)).length, 2);
  t.end();
});

t.test('block sizes that a client would not guess are sent unasked', (t) => {
  const driver = new Driver({ exports: [{ ...OTHER, minBlock: 4096 }] });
  const replies = driver.ask(wire.NBD_OPT_INFO, infoData('other'));
  t.same(replies[1].data, Buffer.concat([u16(wire.NBD_INFO_BLOCK_SIZE), u32(4096, 4096, 33554432)]));
  t.end();
});

t.test('GO says what INFO said and starts the transmission phase without pad bytes', (t) => {
  const driver = new Driver({}, wire.NBD_FLAG_C_FIXED_NEWSTYLE);
  const told = driver.ask(wire.NBD_OPT_INFO, infoData('disk', ...ALL));
  t.same(
    driver.ask(wire.NBD_OPT_GO, infoData('disk', ...ALL)),
    told.map((reply) => ({ ...reply, option: wire.NBD_OPT_GO })),
  );
  t.equal(driver.state, 'transmission');
  t.same(driver.handshake.negotiated, { export: DISK, structured: false, baseAllocation: false });
  t.end();
});

t.test('an unknown name is refused without any information', (t) => {
  const driver = new Driver();
  for (const code of [wire.NBD_OPT_INFO, wire.NBD_OPT_GO]) {
    const replies = driver.ask(code, infoData('Disk', ...ALL));
    t.same(
      replies.map((reply) => reply.type),
      [wire.NBD_REP_ERR_UNKNOWN],
    );
    t.match(replies[0].data.toString(), /Disk/);
  }
  t.ok(driver.inSync());
  t.end();
});

t.test('bytes after GO are left to the transmission phase', (t) => {
  const driver = new Driver();
  const go = Buffer.concat([u32(wire.IHAVEOPT_HI, wire.IHAVEOPT_LO, wire.NBD_OPT_GO, 10), infoData('disk')]);
  t.equal(driver.feed(Buffer.concat([go, Buffer.from('request')])), go.length);
  t.equal(driver.state, 'transmission');
  t.equal(driver.handshake.push(Buffer.from('more'), 0, 4), 0);
  t.end();
});
