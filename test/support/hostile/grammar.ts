/**
 * The grammar of hostile sessions for fast-check: what the protocol has at each place, and beside it what tends to break
 * servers (lengths that overflow, ranges at the edges, names that are none). Most fields of a session are legal, so that the
 * illegal one is reached in every state.
 */
import fc from 'fast-check';
import * as wire from 'node-nbd-server';
import type { OptionData, OptionStep, RequestStep, Session } from './session.ts';

/** Of the largest export. */
const SIZE = 1024 * 1024;
const MAX_STEPS = 14;

const weighted = fc.oneof;
const mostly = <T>(value: T, other: fc.Arbitrary<T>, weight = 12): fc.Arbitrary<T> =>
  weighted({ arbitrary: fc.constant(value), weight }, { arbitrary: other, weight: 1 });

const u32s = fc.constantFrom(0, 1, 2, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff);
const word = weighted(u32s, fc.nat(0xffffffff));
const lie = mostly(0, weighted(fc.integer({ min: -9, max: 9 }), u32s));

/** Names that bring nobody to the export of the client beside it. */
const name = weighted(
  { arbitrary: fc.constantFrom('ram', 'ram', 'ram', '', 'bytes', 'strict', 'rom'), weight: 8 },
  { arbitrary: fc.constantFrom('ram\0', 'raM', '\u4e2d\u6587', 'a'.repeat(4096), 'a'.repeat(4097)), weight: 1 },
  { arbitrary: fc.string({ maxLength: 300 }), weight: 1 },
);
const query = fc.constantFrom(
  'base:allocation',
  'base:allocation',
  'base:',
  'base:other',
  'qemu:x',
  '',
  'x'.repeat(4097),
);

const info: fc.Arbitrary<OptionData> = fc.record({
  kind: fc.constant('info' as const),
  name,
  infos: fc.array(weighted(fc.nat(4), fc.nat(0xffff)), { maxLength: 5 }),
});
const meta: fc.Arbitrary<OptionData> = fc.record({
  kind: fc.constant('meta' as const),
  name,
  queries: weighted(
    { arbitrary: fc.array(query, { maxLength: 3 }), weight: 12 },
    { arbitrary: fc.constant(Array.from({ length: 65 }, () => 'x')), weight: 1 },
  ),
});
const junk: fc.Arbitrary<OptionData> = fc.record({
  kind: fc.constant('junk' as const),
  bytes: weighted(fc.nat(40), fc.constantFrom(4096, 16 * 1024, 16 * 1024 + 1, 65_536, 65_537)),
  fill: fc.nat(255),
});
const none: fc.Arbitrary<OptionData> = fc.constant({ kind: 'none' });
const named: fc.Arbitrary<OptionData> = fc.record({ kind: fc.constant('name' as const), name });

const [GO, EXPORT_NAME] = [wire.NBD_OPT_GO, wire.NBD_OPT_EXPORT_NAME];
const codes: readonly [number, fc.Arbitrary<OptionData>][] = [
  [wire.NBD_OPT_STRUCTURED_REPLY, none],
  [wire.NBD_OPT_SET_META_CONTEXT, meta],
  [wire.NBD_OPT_LIST_META_CONTEXT, meta],
  [wire.NBD_OPT_INFO, info],
  [wire.NBD_OPT_LIST, none],
  [wire.NBD_OPT_STARTTLS, none],
  [wire.NBD_OPT_EXTENDED_HEADERS, none],
  [wire.NBD_OPT_ABORT, none],
];
const lies = fc.tuple(lie, lie, lie);
const step = (code: fc.Arbitrary<number>, data: fc.Arbitrary<OptionData>): fc.Arbitrary<OptionStep> =>
  fc.record({ code, data: weighted({ arbitrary: data, weight: 12 }, { arbitrary: junk, weight: 1 }), lies });
const oneOption = weighted(
  ...codes.map(([code, data]) => ({ arbitrary: step(fc.constant(code), data), weight: code === 2 ? 1 : 4 })),
  { arbitrary: step(word, weighted(junk, none, info)), weight: 2 },
);
const honest: readonly OptionStep[] = [
  { code: wire.NBD_OPT_STRUCTURED_REPLY, data: { kind: 'none' }, lies: [0, 0, 0] },
  {
    code: wire.NBD_OPT_SET_META_CONTEXT,
    data: { kind: 'meta', name: 'ram', queries: ['base:allocation'] },
    lies: [0, 0, 0],
  },
];
const last = weighted(
  {
    arbitrary: fc.constant<OptionStep>({
      code: GO,
      data: { kind: 'info', name: 'ram', infos: [] },
      lies: [0, 0, 0],
    }),
    weight: 8,
  },
  { arbitrary: step(fc.constant(GO), info), weight: 4 },
  { arbitrary: step(fc.constant(EXPORT_NAME), named), weight: 2 },
);
const options = fc
  .tuple(
    weighted({ arbitrary: fc.constant([...honest]), weight: 2 }, { arbitrary: fc.constant([]), weight: 1 }),
    weighted(
      { arbitrary: fc.constant([] as OptionStep[]), weight: 100 },
      { arbitrary: fc.array(oneOption, { maxLength: 6 }), weight: 50 },
      { arbitrary: fc.constant(Array.from({ length: 1025 }, () => honest[0])), weight: 1 },
    ),
    last,
  )
  .map(([first, some, end]) => [...first, ...some, end]);

/** Places that are legal, in pages or out of step with them, and the edges of the export and of the field. */
const offset: fc.Arbitrary<readonly [number, number]> = weighted(
  { arbitrary: fc.nat(SIZE / 4096 - 1).map((n) => [0, n * 4096] as const), weight: 6 },
  { arbitrary: fc.nat(SIZE - 1).map((n) => [0, n] as const), weight: 6 },
  { arbitrary: fc.integer({ min: -5, max: 5 }).map((n) => [0, SIZE + n] as const), weight: 1 },
  { arbitrary: fc.tuple(u32s, word), weight: 1 },
);
const length = weighted(
  { arbitrary: fc.nat(9000), weight: 12 },
  { arbitrary: fc.nat(40).map((n) => n * 4096), weight: 8 },
  { arbitrary: fc.constantFrom(0, 1, SIZE, 131_072, 131_073, 262_144), weight: 4 },
  { arbitrary: fc.constantFrom(SIZE + 1, 0x2000000, 0x2000001, 0x7fffffff, 0xffffffff), weight: 1 },
);
const anyRequest: fc.Arbitrary<RequestStep> = fc.record({
  type: weighted(
    { arbitrary: fc.constantFrom(0, 1, 0, 1, 3, 4, 5, 6, 7, 7), weight: 24 },
    { arbitrary: fc.constantFrom(2, 8, 0xffff), weight: 1 },
  ),
  flags: mostly(0, weighted(fc.constantFrom(1, 2, 4, 8, 16), fc.nat(31), fc.nat(0xffff)), 2),
  cookie: weighted({ arbitrary: fc.tuple(word, word), weight: 20 }, { arbitrary: fc.tuple(u32s, u32s), weight: 1 }),
  offset,
  length,
  surplus: mostly(0, fc.integer({ min: -40, max: 40 }), 30),
  fill: fc.nat(255),
});

/** A FLUSH that is legal has no range, and a status of one extent where there are many: chance alone would hardly make them. */
const request = fc.tuple(anyRequest, fc.nat(15)).map(([one, dice]): RequestStep => {
  if (dice === 0) return { ...one, type: wire.NBD_CMD_FLUSH, offset: [0, 0], length: 0 };
  const flags = wire.NBD_CMD_FLAG_REQ_ONE;
  return dice === 1 ? { ...one, type: wire.NBD_CMD_BLOCK_STATUS, flags, offset: [0, 0], length: SIZE } : one;
});

const thousandth = fc.nat(1000);

/** Sessions for `servers` servers; `depth` multiplies how long they may be. */
export const sessions = (servers: number, depth = 1): fc.Arbitrary<Session> =>
  fc.record({
    server: fc.nat(servers - 1),
    device: fc.constantFrom('now', 'now', 'soon', 'taken', 'wait'),
    flags: weighted(
      { arbitrary: fc.constant(3), weight: 20 },
      { arbitrary: fc.nat(4), weight: 2 },
      { arbitrary: word, weight: 1 },
    ),
    options,
    requests: fc.array(request, { maxLength: MAX_STEPS * depth, size: 'max' }),
    damage: weighted(
      { arbitrary: fc.constant([]), weight: 3 },
      {
        arbitrary: fc.array(
          fc.record({
            kind: fc.constantFrom('flip', 'remove', 'repeat', 'insert'),
            at: thousandth,
            n: fc.integer({ min: 1, max: 60 }),
          }),
          { maxLength: 3 },
        ),
        weight: 1,
      },
    ),
    cuts: fc.array(thousandth, { maxLength: 5 }),
    until: mostly(1000, thousandth, 4),
    deaf: fc.boolean(),
    ending: fc.constantFrom('goodbye', 'wait', 'half', 'leave'),
  });
