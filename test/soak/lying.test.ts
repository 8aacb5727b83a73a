// The pipeline itself is tested: a device that lies in a way that is known has to be found, one that does not has to pass.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { countsOf, memoryDevice, soakOf } from './stub.ts';

/** A read in so many is another one. */
const EVERY = 50;

function everyRead(change: (into: Uint8Array, offset: number, bytes: Buffer) => void) {
  let reads = 0;
  return memoryDevice((bytes) => ({
    read: (offset, into) => {
      bytes.copy(into, 0, offset);
      if (++reads % EVERY === 0 && into.some((byte) => byte !== 0)) change(into, offset, bytes);
    },
  }));
}

t.test('a device that does what it says passes', async (t) => {
  const { verdict, line, folder } = await soakOf(t, memoryDevice(), { ms: 2000 });
  t.equal(verdict, 'PASS', line);
  t.same(countsOf(line), { wrong: 0, lost: 0, leaked: 0, unaccounted: 0 });
  const rows = readFileSync(join(folder, 'soak.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((row) => JSON.parse(row));
  t.match(rows[0], { type: 'start' });
  t.match(rows.at(-1), { type: 'end', verdict: 'PASS' });
  t.match(readFileSync(join(folder, 'report.html'), 'utf8'), /<h2>Limits<\/h2>/);
  t.equal(line, `soak: PASS wrong=0 lost=0 leaked=0 unaccounted=0 report=${join(folder, 'report.html')}`);
});

t.test('wrong bytes are found', async (t) => {
  const device = everyRead((into) => {
    into[into.length >> 1] ^= 1;
  });
  const { verdict, line } = await soakOf(t, device);
  t.equal(verdict, 'FAIL');
  t.ok(countsOf(line).wrong > 0, line);
});

t.test('zeros in place of data are lost pages', async (t) => {
  const { verdict, line } = await soakOf(
    t,
    everyRead((into) => into.fill(0)),
  );
  t.equal(verdict, 'FAIL');
  t.ok(countsOf(line).lost > 0, line);
});

t.test('writes that are acknowledged and not done are found', async (t) => {
  let writes = 0;
  const device = memoryDevice((bytes) => ({
    write: (offset, from) => void (++writes % EVERY === 0 || bytes.set(from, offset)),
  }));
  const { verdict, line } = await soakOf(t, device);
  const { wrong, lost } = countsOf(line);
  t.equal(verdict, 'FAIL');
  t.ok(wrong + lost > 0, line);
});

t.test('writes that land at another place are found', async (t) => {
  let writes = 0;
  const device = memoryDevice((bytes) => ({
    write: (offset, from) => {
      const isAside = ++writes % EVERY === 0 && offset >= 4096;
      bytes.set(from, isAside ? offset - 4096 : offset);
    },
  }));
  const { verdict, line } = await soakOf(t, device);
  t.equal(verdict, 'FAIL');
  t.ok(countsOf(line).wrong > 0, line);
});

t.test('what lands after its connection has ended is found', async (t) => {
  // An NbdServer by itself can't see the end of a connection behind what is not read yet; told that it is a zswapd, which can,
  // the soak cuts connections and sends again.
  const ask = () => () => Promise.resolve({ status: 200, text: '{"quiescent":true,"ok":true,"problems":[]}' });
  const { verdict, line, folder } = await soakOf(t, memoryDevice(), { ms: 2500, control: 'there' }, { ask });
  t.equal(verdict, 'FAIL', line);
  t.ok(countsOf(line).wrong > 0, line);
  t.match(readFileSync(join(folder, 'report.html'), 'utf8'), /stale: \d+/);
});

t.test('an error that no fault explains is unaccounted for', async (t) => {
  let reads = 0;
  const device = memoryDevice((bytes) => ({
    read: (offset, into) => {
      if (++reads % EVERY === 0) throw Object.assign(new Error('no'), { code: 'EIO' });
      bytes.copy(into, 0, offset);
    },
  }));
  const { verdict, line } = await soakOf(t, device);
  t.equal(verdict, 'FAIL');
  t.ok(countsOf(line).unaccounted > 0, line);
});

t.test('what ends it from outside leaves a report, and no verdict', async (t) => {
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 300);
  const { verdict, folder } = await soakOf(t, memoryDevice(), { ms: 60_000 }, { signal: stop.signal });
  t.equal(verdict, 'UNKNOWN');
  t.ok(existsSync(join(folder, 'report.html')));
  const html = readFileSync(join(folder, 'report.html'), 'utf8');
  t.match(html, /ended from outside/);
});

t.test('a checker that throws is unknown', async (t) => {
  const { verdict, folder } = await soakOf(
    t,
    memoryDevice(),
    {},
    {
      tell: (line) => {
        if (line.startsWith('healed')) throw new Error('the checker is broken');
      },
    },
  );
  t.equal(verdict, 'UNKNOWN');
  t.match(readFileSync(join(folder, 'report.html'), 'utf8'), /the checker is broken/);
});
