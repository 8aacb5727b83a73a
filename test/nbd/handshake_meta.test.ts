/** LIST_META_CONTEXT and SET_META_CONTEXT: wildcards, replacement, and the tie to one export. */
import * as wire from 'node-nbd-server';
import t from 'tap';
import { Driver, infoData, metaData, OTHER, option, type Reply, u32 } from '../support/handshake_driver.ts';

const LIST = wire.NBD_OPT_LIST_META_CONTEXT;
const SET = wire.NBD_OPT_SET_META_CONTEXT;
const BASE = 'base:allocation';

function structured(): Driver {
  const driver = new Driver();
  driver.ask(wire.NBD_OPT_STRUCTURED_REPLY);
  return driver;
}

const types = (replies: Reply[]): number[] => replies.map((reply) => reply.type);
const FOUND = [wire.NBD_REP_META_CONTEXT, wire.NBD_REP_ACK];
const NOTHING = [wire.NBD_REP_ACK];

/** Whether base:allocation is selected after GO. */
function selected(driver: Driver, name: string): boolean | undefined {
  driver.feed(option(wire.NBD_OPT_GO, infoData(name)));
  return driver.handshake.negotiated?.baseAllocation;
}

t.test('contexts need structured replies', (t) => {
  const driver = new Driver();
  t.equal(driver.verdict(SET, metaData('disk', BASE)), wire.NBD_REP_ERR_INVALID);
  t.equal(driver.verdict(LIST, metaData('disk', BASE)), wire.NBD_REP_ERR_INVALID);
  t.ok(driver.inSync());
  t.equal(selected(driver, 'disk'), false);
  t.end();
});

t.test('a listing takes no query and base: as wildcards', (t) => {
  const driver = structured();
  for (const queries of [[], ['base:'], [BASE], ['x:y', 'base:', BASE]]) {
    const replies = driver.ask(LIST, metaData('disk', ...queries));
    t.same(types(replies), FOUND);
    t.same(replies[0].data, Buffer.concat([u32(0), Buffer.from(BASE)]));
  }
  for (const query of ['base', 'base:alloc', 'qemu:', 'qemu:allocation-depth', '', ':']) {
    t.same(types(driver.ask(LIST, metaData('disk', query))), NOTHING, query);
  }
  t.equal(selected(driver, 'disk'), false, 'a listing selects nothing');
  t.end();
});

t.test('a selection takes the exact name only, and once', (t) => {
  for (const [queries, found] of [
    [[BASE], true],
    [[BASE, BASE], true],
    [['x:y', BASE], true],
    [[], false],
    [['base:'], false],
    [['base:alloc'], false],
  ] as [string[], boolean][]) {
    const driver = structured();
    const replies = driver.ask(SET, metaData('disk', ...queries));
    t.same(types(replies), found ? FOUND : NOTHING);
    if (found) t.same(replies[0].data, Buffer.concat([u32(wire.BASE_ALLOCATION_ID), Buffer.from(BASE)]));
    t.equal(selected(driver, 'disk'), found);
  }
  t.end();
});

t.test('a new selection replaces the old one even if it fails', (t) => {
  const huge = Buffer.concat([u32(0, 1, 16384), Buffer.alloc(16384, 'a')]);
  for (const data of [metaData('disk'), metaData('nothing', BASE), metaData('disk', 'a\0b'), u32(0), huge]) {
    const driver = structured();
    t.same(types(driver.ask(SET, metaData('disk', BASE))), FOUND);
    driver.ask(SET, data);
    t.equal(selected(driver, 'disk'), false);
  }
  t.end();
});

t.test('the selection belongs to one export, whichever of its names was used', (t) => {
  const driver = structured();
  driver.ask(SET, metaData('disk', BASE));
  t.equal(selected(driver, 'other'), false);
  t.equal(driver.handshake.negotiated?.export, OTHER);
  const unnamed = structured();
  unnamed.ask(SET, metaData('', BASE));
  t.equal(selected(unnamed, 'disk'), true);
  const oldest = structured();
  oldest.ask(SET, metaData('disk', BASE));
  oldest.feed(option(wire.NBD_OPT_EXPORT_NAME, 'disk'));
  t.equal(oldest.handshake.negotiated?.baseAllocation, true);
  t.end();
});

t.test('an unknown export is refused', (t) => {
  t.equal(structured().verdict(SET, metaData('nothing', BASE)), wire.NBD_REP_ERR_UNKNOWN);
  t.equal(structured().verdict(LIST, metaData('nothing')), wire.NBD_REP_ERR_UNKNOWN);
  t.end();
});

t.test('malformed requests are invalid and leave the stream in sync', (t) => {
  const bad = {
    empty: Buffer.alloc(0),
    'name longer than the data': u32(1, 0),
    'name length of 2^32-1': u32(0xffffffff, 0),
    'more queries than data': u32(0, 0xffffffff),
    'query longer than the data': u32(0, 1, 1),
    'query length of 2^32-1': u32(0, 1, 0xffffffff),
    'data after the last query': u32(0, 0, 0),
    'query with NUL': metaData('disk', 'base:\0'),
    'query of 4097 bytes': metaData('disk', 'a'.repeat(4097)),
    'query that is not UTF-8': Buffer.concat([u32(0, 1, 1), Buffer.from([0xff])]),
  };
  for (const code of [SET, LIST]) {
    const driver = structured();
    for (const [what, data] of Object.entries(bad)) {
      t.equal(driver.verdict(code, data), wire.NBD_REP_ERR_INVALID, what);
      t.ok(driver.inSync());
    }
    t.equal(driver.verdict(code, Buffer.alloc(16385)), wire.NBD_REP_ERR_TOO_BIG);
    t.same(types(driver.ask(code, metaData('disk', 'a'.repeat(4096), BASE))), FOUND);
  }
  t.end();
});

t.test('a request has 64 queries at most', (t) => {
  const many = (n: number): string[] => Array.from({ length: n }, () => '');
  for (const code of [SET, LIST]) {
    const driver = structured();
    t.same(types(driver.ask(code, metaData('disk', ...many(63), BASE))), FOUND);
    for (const n of [65, 4000]) {
      t.same(types(driver.ask(code, metaData('disk', ...many(n)))), [wire.NBD_REP_ERR_TOO_BIG]);
      t.ok(driver.inSync());
    }
  }
  t.end();
});
