// Options of the client: what is mistyped or out of bounds is refused by name, before a socket is opened.
import { NbdClient, type NbdClientOptions } from 'node-nbd-server';
import t from 'tap';

/** Nobody listens there. */
const socketPath = '/nowhere/nbd.sock';

const wrong: readonly [object, string, RegExp][] = [
  [{ maxInflight: 5 }, 'TypeError', /there is no option maxInflight, but socketPath, .* maxInFlight, /],
  [{ name: undefined }, 'TypeError', /there is no option name, .* export, /],
  [{ socketPath: 5 }, 'TypeError', /socketPath is 5, and has to be the path/],
  [{ socketPath: `/${'x'.repeat(200)}` }, 'RangeError', /path of a unix socket/],
  [{ host: 127 }, 'TypeError', /host is 127/],
  [{ port: '10809' }, 'TypeError', /port is '10809', and has to be a whole number from 0 to 65535/],
  [{ port: 65_536 }, 'RangeError', /port is 65536/],
  [{ timeoutMs: -1 }, 'RangeError', /timeoutMs is -1/],
  [{ export: 5 }, 'TypeError', /export is 5/],
  [{ export: 'x'.repeat(4097) }, 'RangeError', /export is .* 4096 bytes/],
  [{ method: 'GO' }, 'RangeError', /method is 'GO', and has to be go or export-name/],
  [{ structured: 1 }, 'TypeError', /structured is 1/],
  [{ baseAllocation: 'yes' }, 'TypeError', /baseAllocation is 'yes'/],
  [{ noZeroes: null }, 'TypeError', /noZeroes is null/],
  [{ maxInFlight: 0 }, 'RangeError', /maxInFlight is 0, .* from 1 to/],
  [{ maxQueued: 1.5 }, 'RangeError', /maxQueued is 1.5/],
  [{ closeTimeoutMs: 2 ** 31 }, 'RangeError', /closeTimeoutMs is 2147483648/],
];

for (const [option, name, message] of wrong) {
  t.test(`connect: ${Object.keys(option)[0]} ${message.source}`, async (t) => {
    await t.rejects(NbdClient.connect({ socketPath, ...option } as NbdClientOptions), { name, message });
  });
}

t.test('no object, and an option of a connection for a list', async (t) => {
  await t.rejects(NbdClient.connect(socketPath as unknown as NbdClientOptions), { message: /an object of options/ });
  await t.rejects(NbdClient.list(null as unknown as NbdClientOptions), { message: /an object of options/ });
  const all = { socketPath, export: 'a' };
  await t.rejects(NbdClient.list(all), { message: /there is no option export, but socketPath, host, port, timeoutMs/ });
});

t.test('what is right goes on to the socket, at its limits too', async (t) => {
  const least = {
    export: '',
    maxInFlight: 1,
    maxQueued: 0,
    closeTimeoutMs: 0,
    port: 0,
    method: 'export-name',
  } as const;
  await t.rejects(NbdClient.connect({ socketPath, ...least }), { code: 'ENOENT' });
  await t.rejects(NbdClient.connect({ socketPath, export: 'x'.repeat(4096), structured: false }), { code: 'ENOENT' });
  await t.rejects(NbdClient.list({ socketPath, timeoutMs: 2 ** 31 - 1 }), { code: 'ENOENT' });
});
