/** The same bytes give the same answers however the network cuts them. */
import * as wire from 'node-nbd-server';
import { Handshake } from 'node-nbd-server';
import t from 'tap';
import { DISK, FIXED, infoData, metaData, OTHER, option, u32 } from '../support/handshake_driver.ts';

// All options pipelined, with refused ones and swallowed data in between, and a request behind the last one.
const SESSION = Buffer.concat([
  u32(FIXED),
  option(99, 'swallow me'),
  option(wire.NBD_OPT_LIST),
  option(wire.NBD_OPT_LIST, 'data'),
  option(wire.NBD_OPT_STRUCTURED_REPLY),
  option(wire.NBD_OPT_INFO, infoData('disk', 1, 2, 3)),
  option(wire.NBD_OPT_GO, infoData('nothing')),
  option(wire.NBD_OPT_SET_META_CONTEXT, metaData('other', 'base:allocation')),
  option(wire.NBD_OPT_GO, infoData('other', 3)),
]);
const REST = Buffer.from('first request');
const BYTES = Buffer.concat([SESSION, REST]);

function run(pieces: readonly [number, number][]): { out: Buffer; rest: Buffer; handshake: Handshake } {
  const out: Uint8Array[] = [];
  const rest: Uint8Array[] = [];
  const handshake = new Handshake({ exports: [DISK, OTHER], write: (bytes) => out.push(Buffer.from(bytes)) });
  handshake.start();
  for (const [from, to] of pieces) {
    // Each piece arrives in a buffer of its own that is reused at once, as a pooled receive buffer would be.
    const buf = Buffer.alloc(to - from + 3, 0xee);
    BYTES.copy(buf, 2, from, to);
    const at = handshake.push(buf, 2, 2 + to - from);
    rest.push(Buffer.from(buf.subarray(at, 2 + to - from)));
    buf.fill(0xee);
  }
  return { out: Buffer.concat(out), rest: Buffer.concat(rest), handshake };
}

const WHOLE = run([[0, BYTES.length]]);

t.test('the session in one piece', (t) => {
  t.equal(WHOLE.handshake.state, 'transmission');
  t.same(WHOLE.handshake.negotiated, { export: OTHER, structured: true, baseAllocation: true });
  t.same(WHOLE.rest, REST);
  t.end();
});

t.test('the session cut in two at every position', (t) => {
  let bad = 0;
  for (let cut = 0; cut <= BYTES.length; cut++) {
    const { out, rest, handshake } = run([
      [0, cut],
      [cut, BYTES.length],
    ]);
    if (!out.equals(WHOLE.out) || !rest.equals(REST) || handshake.state !== 'transmission') bad++;
  }
  t.equal(bad, 0);
  t.end();
});

t.test('the session in pieces of every size', (t) => {
  let bad = 0;
  for (let size = 1; size < 64; size++) {
    const pieces: [number, number][] = [];
    for (let at = 0; at < BYTES.length; at += size) pieces.push([at, Math.min(at + size, BYTES.length)]);
    const { out, rest } = run(pieces);
    if (!out.equals(WHOLE.out) || !rest.equals(REST)) bad++;
  }
  t.equal(bad, 0);
  t.end();
});
