import t from 'tap';
import { fieldReader, halvesReader, parseFormat, textReader } from '#src/agent/event_format.js';
import { EVENT, EventQueue, merge } from '#src/agent/event_queue.js';
import { parsePageLayout, readPage } from '#src/agent/ring_page.js';

const HEADER_PAGE = `	field: u64 timestamp;	offset:0;	size:8;	signed:0;
	field: local_t commit;	offset:8;	size:8;	signed:1;
	field: int overwrite;	offset:8;	size:1;	signed:1;
	field: char data;	offset:16;	size:4080;	signed:0;
`;
const LAYOUT = { commit: 8, data: 16 };
const PADDING = 29;
const EXTEND = 30;
const STAMP = 31;

/** Words of 32 bits behind a page's header; `flags` are those of its length. */
function page(nanoseconds: bigint, words: readonly number[], flags = 0): Buffer {
  const bytes = Buffer.alloc(4096);
  bytes.writeBigUInt64LE(nanoseconds, 0);
  bytes.writeUInt32LE((words.length * 4 + flags) >>> 0, 8);
  words.forEach((word, i) => {
    bytes.writeUInt32LE(word >>> 0, 16 + i * 4);
  });
  return bytes;
}

const header = (type: number, delta: number): number => ((delta << 5) | type) >>> 0;

function events(bytes: Buffer): { at: [number, number][]; missed: boolean } {
  const at: [number, number][] = [];
  const missed = readPage(bytes, LAYOUT, (time, from) => at.push([time, bytes.readUInt32LE(from)]));
  return { at, missed };
}

t.test("the layout of a page is the kernel's word", async (t) => {
  t.same(parsePageLayout(HEADER_PAGE), LAYOUT);
  t.equal(parsePageLayout('field: int other;	offset:0;'), undefined);
});

t.test('times add up over deltas, extensions, stamps and discarded events', async (t) => {
  const words = [
    ...[header(1, 1000), 7],
    // Of two words: behind 1 µs and 2^27 ns.
    ...[header(EXTEND, 1000), 1, header(2, 0), 8, 0],
    // Discarded: its time counts, its bytes do not.
    ...[header(PADDING, 3000), 8, 99],
    ...[header(1, 1000), 9],
    // Absolute: 5 * 2^27 + 17 ns.
    ...[header(STAMP, 17), 5, header(1, 3), 10],
    // Longer than its header could say.
    ...[header(0, 0), 12, 11, 0],
  ];
  const base = 10_000_000n;
  const long = 2 ** 27 / 1000;
  const { at, missed } = events(page(base, words));
  const stamp = (5 * 2 ** 27 + 20) / 1000;
  t.same(at, [
    [10_001, 7],
    [10_002 + long, 8],
    [10_006 + long, 9],
    [stamp, 10],
    [stamp, 11],
  ]);
  t.equal(missed, false);
});

t.test('a page ends with its padding, with its length, and inside no event', async (t) => {
  t.same(events(page(0n, [header(1, 1000), 1, header(PADDING, 0), 0, header(1, 5), 2])).at, [[1, 1]]);
  t.same(
    events(page(0n, [header(1, 1000), 1, header(20, 5), 2])).at,
    [[1, 1]],
    'an event that would be longer than the page',
  );
  t.same(events(page(0n, [])).at, []);
  t.ok(events(page(0n, [header(1, 0), 1], 2 ** 31)).missed, 'the flag of events that were lost');
});

t.test("an event's fields are read where its format says", async (t) => {
  const format = parseFormat(`name: cgroup_mkdir
ID: 544
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int root;	offset:8;	size:4;	signed:1;
	field:u64 id;	offset:16;	size:8;	signed:0;
	field:__data_loc char[] path;	offset:24;	size:4;	signed:0;
`);
  t.equal(format.id, 544);
  const bytes = Buffer.alloc(64);
  bytes.writeUInt16LE(544, 4);
  bytes.writeUInt32LE(3, 12);
  bytes.writeBigUInt64LE(0xf_0000_0005n, 20);
  bytes.writeUInt32LE((5 << 16) | 30, 28);
  bytes.write('/a/b\0', 34);
  t.equal(fieldReader(format, 'root')(bytes, 4), 3);
  t.equal(fieldReader(format, 'id')(bytes, 4), 0xf_0000_0005);
  const { low, high } = halvesReader(format, 'id');
  t.same([low(bytes, 4), high(bytes, 4)], [5, 15]);
  t.equal(textReader(format, 'path')(bytes, 4), '/a/b');
  t.throws(() => fieldReader(format, 'other'), /no field other/);
  t.throws(() => parseFormat('name: x'), /no ID/);
});

t.test(
  'events of several processors come in the order of their times, those that may be overtaken later',
  async (t) => {
    const [a, b] = [new EventQueue(), new EventQueue()];
    for (const time of [1, 4, 6]) a.add(EVENT.charge, time, 0, time, 1, 9);
    for (const time of [2, 3, 7]) b.add(EVENT.free, time, 0, time, 1, 0);
    const order: number[] = [];
    const take = (queue: EventQueue, at: number): void => void order.push(queue.time[at]);
    merge([a, b], 6, take);
    t.same(order, [1, 2, 3, 4]);
    merge([a, b], 8, take);
    t.same(order, [1, 2, 3, 4, 6, 7]);
    t.ok(a.isEmpty && b.isEmpty);
  },
);

t.test('a queue that is nearly full gets room again while some of its events wait', async (t) => {
  const queue = new EventQueue();
  let time = 0;
  while (queue.hasRoom()) queue.add(EVENT.charge, time++, 0, 5, 1, 9);
  merge([queue], time - 1, () => undefined);
  t.notOk(queue.isEmpty);
  t.ok(queue.hasRoom());
  t.equal(queue.time[queue.head], time - 1);
});
