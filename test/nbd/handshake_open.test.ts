// An export is opened before its client is told that it has it: who can't have it hears why, and may choose again.
import * as wire from 'node-nbd-server';
import { NbdClient } from 'node-nbd-server';
import t from 'tap';
import { Driver, infoData, option } from '../support/handshake_driver.ts';
import { serve } from '../support/nbd_server.ts';
import { RamDevice } from '../support/ram_device.ts';

const full = (): string => 'no place left';

t.test('GO is refused with the reason, without any information, and another export may be chosen', (t) => {
  const asked: string[] = [];
  const driver = new Driver({
    open: ({ name }) => {
      asked.push(name);
      return name === 'disk' ? full() : null;
    },
  });
  const [refused, ...more] = driver.ask(wire.NBD_OPT_GO, infoData('disk', wire.NBD_INFO_NAME));
  t.equal(refused.type, wire.NBD_REP_ERR_UNKNOWN);
  t.equal(refused.data.toString(), 'no place left');
  t.same(more, []);
  t.equal(driver.state, 'options');
  t.equal(driver.ask(wire.NBD_OPT_GO, infoData('other')).at(-1)?.type, wire.NBD_REP_ACK);
  t.equal(driver.state, 'transmission');
  t.same(asked, ['disk', 'other']);
  t.end();
});

t.test('INFO opens nothing', (t) => {
  const driver = new Driver({ open: full });
  t.equal(driver.ask(wire.NBD_OPT_INFO, infoData('disk')).at(-1)?.type, wire.NBD_REP_ACK);
  t.equal(driver.state, 'options');
  t.end();
});

t.test('EXPORT_NAME can be told nothing: the connection ends', (t) => {
  const driver = new Driver({ open: full });
  driver.feed(option(wire.NBD_OPT_EXPORT_NAME, 'disk'));
  t.equal(driver.out.length, 0);
  t.equal(driver.state, 'closed');
  t.equal(driver.handshake.negotiated, null);
  t.end();
});

t.test('a device that throws when it is asked for refuses its client with its message', async (t) => {
  const device = new RamDevice({ size: 65536 });
  let places = 0;
  const served = await serve(t, device, {
    device: () => {
      if (places-- > 0) return device;
      throw new Error('all places are taken');
    },
  });
  await t.rejects(NbdClient.connect({ socketPath: served.socketPath }), { message: /all places are taken/ });
  places = 1;
  const client = await served.connect();
  t.equal((await client.read(0, 4096)).length, 4096);
  await client.disconnect();
});
