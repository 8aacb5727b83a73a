// The pages beside the protocols are what their generator makes of the sources, the expected matrix and the searches.
// With ZSWAPD_WRITE_PAGES=1 they are written first. The plain run takes the traces that a page shows for the shortest while they
// come to what they are shown for; that none is shorter is searched with ZSWAPD_LONG=1, and when the pages are written.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { generatePages } from '#src/scripts/pages/generate.js';
import { REGENERATE } from '#src/scripts/pages/protocol_page.js';
import { withEngine } from './cells.ts';

const FOLDER = fileURLToPath(new URL('../../../src/protocols', import.meta.url));

const WRITES = process.env.ZSWAPD_WRITE_PAGES === '1';
const LONG = process.env.ZSWAPD_LONG === '1';

// The searches for the shortest traces; the runner has a limit of its own.
t.setTimeout(300_000);

t.test('each protocol has a page beside it, and all pages are up to date', async (t) => {
  const pages = await withEngine((engine) => generatePages(engine, FOLDER, WRITES || LONG));
  if (WRITES) {
    for (const [name, text] of pages) writeFileSync(join(FOLDER, name), text);
  }
  const there = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'));
  const left = there.filter((name) => !pages.has(name));
  t.same(left, [], 'no page is left of a protocol that is gone');
  const stale = [...pages]
    .filter(([name, text]) => !there.includes(name) || readFileSync(join(FOLDER, name), 'utf8') !== text)
    .map(([name]) => name);
  t.same(stale, [], `pages are up to date; if not, after a build: ${REGENERATE}`);
});
