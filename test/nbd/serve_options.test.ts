// What a server and its devices are made from: whatever is wrong is said at once, by its name, with what it is and may be.
import { PassThrough } from 'node:stream';
import {
  type ByteDevice,
  type Device,
  NBD_FLAG_READ_ONLY,
  NbdClient,
  NbdServer,
  type ServerOptions,
  serve,
} from 'node-nbd-server';
import t from 'tap';
import { ram } from '../support/byte_server.ts';

const server = (o: unknown) => new NbdServer(o as ConstructorParameters<typeof NbdServer>[0]);

t.test('devices', (t) => {
  const table: [wrong: Record<string, unknown>, name: string, message: RegExp][] = [
    [{ name: undefined, size: -1 }, 'RangeError', /size of devices\[0\] is -1/],
    [{ name: 7 }, 'TypeError', /name of devices\[0\] is 7, .* text of up to 4096 bytes/],
    [{ size: undefined }, 'TypeError', /size of device 'ram' is undefined, .* whole number of bytes/],
    [
      { size: '64M' },
      'TypeError',
      /size of device 'ram' is '64M', .* whole number of bytes from 0 to 9007199254740991/,
    ],
    [{ size: 10n }, 'TypeError', /size of device 'ram' is 10n/],
    [{ size: -1 }, 'RangeError', /size of device 'ram' is -1/],
    [{ size: 0.5 }, 'RangeError', /size of device 'ram' is 0.5/],
    [{ size: Number.NaN }, 'RangeError', /size of device 'ram' is NaN/],
    [{ size: 2 ** 53 }, 'RangeError', /size of device 'ram' is 9007199254740992/],
    [{ blockSize: '512' }, 'TypeError', /blockSize of device 'ram' is '512', .* power of two from 512 to 65536/],
    [{ blockSize: 3000 }, 'RangeError', /blockSize of device 'ram' is 3000, .* power of two from 512 to 65536/],
    [{ minBlock: 8192, blockSize: 4096 }, 'RangeError', /minBlock of device 'ram' is 8192, .* from 1 to 4096/],
    [{ minBlock: 8192 }, 'RangeError', /minBlock of device 'ram' is 8192, .* from 1 to 4096/],
    [{ size: 10_000, minBlock: 4096 }, 'RangeError', /"ram": size is 10000, .* a multiple of minBlock, which is 4096/],
    [{ size: 100, minBlock: 4096 }, 'RangeError', /"ram": size is 100, .* a multiple of minBlock/],
    [{ minBlock: 0 }, 'RangeError', /minBlock of device 'ram' is 0/],
    [{ description: 1 }, 'TypeError', /description of device 'ram' is 1/],
    [{ fastZero: 'yes' }, 'TypeError', /fastZero of device 'ram' is 'yes', .* true or false/],
    [{ fastZero: true }, 'RangeError', /fastZero of device 'ram' is true, .* zero/],
    [{ read: undefined }, 'TypeError', /read of device 'ram' is undefined, .* function/],
    ...['read', 'write', 'trim', 'zero', 'flush'].map((method): [Record<string, unknown>, string, RegExp] => [
      { [method]: true },
      'TypeError',
      new RegExp(`${method} of device 'ram' is true, and has to be a function`),
    ]),
    [{ name: 'a\0b' }, 'RangeError', /"a\\u0000b".*name is not valid text/],
    [{ name: 'x'.repeat(4097) }, 'RangeError', /name is longer than 4096 bytes/],
    [{ description: '\ud800' }, 'RangeError', /export "ram": description is not valid text/],
  ];
  for (const [wrong, name, message] of table) {
    t.throws(() => server({ devices: [{ ...ram({}), ...wrong }] }), { name, message });
  }
  t.throws(() => server({ devices: [ram({}), ram({})] }), { name: 'RangeError', message: /"ram".*twice/ });
  t.throws(() => server({ devices: [ram({}), null] }), { name: 'TypeError', message: /devices\[1\] is null/ });
  t.throws(() => server({ devices: ram({}) }), { name: 'TypeError', message: /devices is .*list of devices/ });
  t.throws(() => server({ devices: [] }), { name: 'RangeError', message: /at least one/ });
  t.throws(() => server(undefined), { name: 'TypeError', message: /undefined, and has to be an object/ });
  t.doesNotThrow(() => server({ devices: [{ ...ram({}), size: 0 }] }), 'an empty device is one');
  t.doesNotThrow(() => server({ devices: [{ ...ram({}), size: 0, minBlock: 4096 }] }));
  t.end();
});

t.test('names in a device that look like others', (t) => {
  const table: [name: string, message: RegExp][] = [
    ['blocksize', /blocksize of device 'ram' is no property of a device, but: blockSize/],
    ['block_size', /block_size of device 'ram' .*: blockSize/],
    ['minblock', /: minBlock/],
    ['minBlockSize', /: minBlock/],
    ['Flush', /: flush/],
    ['sync', /sync of device 'ram' .*: flush/],
    ['discard', /: trim/],
    ['writeZeroes', /: zero/],
    ['readOnly', /readOnly of device 'ram' .*: a device without write is read-only/],
    ['readonly', /: a device without write is read-only/],
  ];
  for (const [name, message] of table) {
    t.throws(() => server({ devices: [{ ...ram({}), [name]: undefined }] }), { name: 'TypeError', message });
  }
  t.doesNotThrow(
    () => server({ devices: [{ ...ram({}), path: '/x', close: () => 0, info: undefined }] }),
    'others are its own',
  );
  class Own {
    readonly size = 4096;
    readonly readonly = false;
    read(): void {}
    sync(): void {}
  }
  t.doesNotThrow(() => server({ devices: [new Own()] }), 'and so are those of a class');
  const bare = Object.assign(Object.create(null), { size: 4096, read: () => 0, fsync: () => 0 });
  t.throws(() => server({ devices: [bare] }), { name: 'TypeError', message: /fsync of devices\[0\] .*: flush/ });
  t.end();
});

t.test('a class of devices by bytes that has an info of its own', (t) => {
  class Own {
    readonly size = 4096;
    readonly info: unknown;
    constructor(info: unknown) {
      this.info = info;
    }
    read(): void {}
  }
  for (const info of [() => 'a disk', 'a disk', null, { size: 4096, mtime: new Date() }]) {
    t.doesNotThrow(() => server({ devices: [new Own(info) as unknown as ByteDevice] }));
  }
  const none = { info: () => 'a disk', read: () => 0 } as unknown as ByteDevice;
  t.throws(() => server({ devices: [none] }), { name: 'TypeError', message: /size of devices\[0\] is undefined/ });
  t.end();
});

t.test('devices by blocks', (t) => {
  const info = {
    name: 'b',
    description: '',
    size: 4096,
    flags: 1 | NBD_FLAG_READ_ONLY,
    minBlock: 1,
    preferredBlock: 4096,
  };
  const device = (wrong: object, o: object = {}): unknown => ({
    blockSize: 4096,
    readNow: () => 1,
    info: { ...info, maxBlock: 65_536, ...wrong },
    ...o,
  });
  const table: [device: unknown, message: RegExp][] = [
    [device({ name: undefined }), /name is undefined, and has to be text/],
    [device({ description: undefined }), /export "b": description is undefined/],
    [device({ size: 0.5 }), /export "b": size is 0.5, and has to be a whole number of bytes/],
    [device({ flags: 65_536 }), /flags is 65536, .* 16 bits/],
    [device({ minBlock: 3 }), /minBlock is 3, .* power of two/],
    [device({ preferredBlock: 256 }), /preferredBlock is 256, .* 512/],
    [device({ size: 4097, minBlock: 2 }), /export "b": size is 4097, .* a multiple of minBlock, which is 2/],
    [
      device({ maxBlock: 65_537, minBlock: 512 }),
      /export "b": maxBlock is 65537, .* a multiple of minBlock, which is 512/,
    ],
    [device({ maxBlock: 5 }), /maxBlock is 5, .* from preferredBlock/],
    [device({}, { blockSize: 5 }), /device of export "b": blockSize is 5, .* power of two up to 65536/],
    [device({}, { readNow: undefined }), /neither readNow nor read/],
  ];
  for (const [wrong, message] of table) {
    t.throws(() => server({ devices: [wrong as Device] }), { name: 'RangeError', message });
  }
  t.doesNotThrow(() => server({ devices: [device({})] }));
  t.doesNotThrow(() => server({ devices: [device({ maxBlock: 2 ** 32 - 1, minBlock: 512 })] }), 'which means no limit');
  t.end();
});

t.test('options', async (t) => {
  const table: [wrong: Record<string, unknown>, name: string, message: RegExp][] = [
    [{ maxConnections: '5' }, 'TypeError', /maxConnections is '5', .* whole number from 1/],
    [{ maxConnections: 0 }, 'RangeError', /maxConnections is 0, .* from 1/],
    [{ maxConnections: Number.NaN }, 'RangeError', /maxConnections is NaN/],
    [{ handshakeTimeoutMs: 0 }, 'RangeError', /handshakeTimeoutMs is 0, .* milliseconds from 1 to 2147483647/],
    [{ handshakeTimeoutMs: 2 ** 31 }, 'RangeError', /handshakeTimeoutMs is 2147483648/],
    [{ standstillMs: -1 }, 'RangeError', /standstillMs is -1/],
    [{ listing: 1 }, 'TypeError', /listing is 1, .* true or false/],
    [{ onError: 'log' }, 'TypeError', /onError is 'log', .* function/],
    [{ maxConnection: 5 }, 'TypeError', /there is no option maxConnection, .* maxConnections, /],
    [{ maxconnections: undefined }, 'TypeError', /there is no option maxconnections/],
  ];
  for (const [wrong, name, message] of table) {
    await t.rejects(serve(ram({}), [], wrong as ServerOptions), { name, message });
  }
  await t.rejects(serve(undefined as unknown as ByteDevice), {
    name: 'TypeError',
    message: /devices\[0\] is undefined/,
  });
  await t.rejects(serve([]), { name: 'RangeError', message: /at least one/ });
});

t.test('addresses, streams and times', async (t) => {
  const one = server({ devices: [ram({})] });
  t.teardown(() => one.close());
  const listen = (where: unknown) => one.listen(where as number);
  await t.rejects(listen(true), { name: 'TypeError', message: /address is true, .* path .* port/ });
  await t.rejects(listen(null), { name: 'TypeError', message: /address is null/ });
  await t.rejects(listen(''), { name: 'RangeError', message: /address is ''/ });
  await t.rejects(listen(70_000), { name: 'RangeError', message: /address is 70000, .* from 0 to 65535/ });
  for (const path of ['x'.repeat(108), 'é'.repeat(54), `/tmp/${'x'.repeat(200)}`]) {
    const message = /path of a unix socket is '.*, and has to be at most 107 bytes/;
    await t.rejects(listen(path), { name: 'RangeError', message });
    await t.rejects(listen({ path }), { name: 'RangeError', message }, 'which would be cut in silence');
    await t.rejects(
      NbdClient.connect({ socketPath: path }),
      { name: 'RangeError', message },
      'who would be sent elsewhere',
    );
    await t.rejects(NbdClient.list({ socketPath: path }), { name: 'RangeError', message });
  }
  const port = /address is '10809', .* a number for a port, or '.\/10809' for a path/;
  await t.rejects(listen('10809'), { name: 'TypeError', message: port }, 'such as of the environment');
  await t.rejects(serve(ram({}), ['10809']), { name: 'TypeError', message: port });
  const both = /address is \{ path: 'x', port: .*, and has to be one of path and port/;
  await t.rejects(listen({ path: 'x', port: 0 }), { name: 'TypeError', message: both }, 'it would be the port');
  await t.rejects(listen({ path: 'x', port: undefined }), { name: 'TypeError', message: both });
  for (const none of [undefined, null]) {
    const message = /port of the address is (undefined|null), and has to be /;
    await t.rejects(listen({ port: none }), { name: 'TypeError', message }, 'it would be any, of all machines');
  }
  const text = /port of the address is '10809', and has to be a whole number/;
  await t.rejects(listen({ port: '10809' }), { name: 'TypeError', message: text });
  const nothing = /address is \{\}, and has to be an object with a path, a port, or a handle/;
  await t.rejects(listen({}), { name: 'RangeError', message: nothing });
  await t.rejects(listen({ fd: -1 }), { name: 'Error' }, "what Node says of an address of Node's");
  await t.rejects(listen('  '), { name: 'RangeError', message: /address is ' {2}', and has to be the path/ });
  for (const url of [new URL('nbd://localhost:10809'), 'nbd://localhost', 'nbd+unix:///ram?socket=/tmp/s']) {
    await t.rejects(listen(url), {
      name: 'TypeError',
      message: /address is .*nbd.*, and has to be the path .* no URL/,
    });
  }
  t.same(one.addresses, []);
  t.throws(() => one.accept({} as PassThrough), { name: 'TypeError', message: /stream is {}, .* Duplex/ });
  const gone = new PassThrough();
  gone.destroy();
  t.throws(() => one.accept(gone), { name: 'TypeError', message: /stream is destroyed/ });
  for (const [wrong, name] of [
    [Number.NaN, 'RangeError'],
    [-1, 'RangeError'],
    ['x', 'TypeError'],
  ] as const) {
    await t.rejects(one.close(wrong as number), { name, message: /graceMs is (NaN|-1|'x'), / });
  }
  await one.listen(0);
  t.ok(one.port > 0, 'and none of that has closed it');
});
