// The soak has to notice when a safeguard is taken out of the server: for the stated reason, and not for another one.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { run } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';
import { countsOf } from './stub.ts';

for (const [broken, time, reason] of [
  ['checksum', '3s', /\b(?:corrupt|torn): \d+/],
  ['fence', '10s', /\bstale: \d+/],
  ['early-reply', '3s', /\b(?:stale|lost): \d+/],
  ['fsync', '4s', /what was flushed outlives a kill<\/td><td><b class="false">/],
] as const) {
  // In a plain run one of them, so that it is known to work at all.
  if (broken !== 'checksum' && process.env.ZSWAPD_LONG !== '1') continue;
  t.test(`without its safeguard ${broken} a server fails`, async (t) => {
    const folder = join(tempFolder(t), 'r');
    const args = ['soak', '--time', time, '--seed', '1', '--break', broken, '--report', folder];
    const { code, stdout, stderr } = await run(join(REPOSITORY, 'dist/main.js'), args);
    const { wrong, lost } = countsOf(stdout);
    t.match(stdout, /^soak: FAIL /, stderr);
    t.equal(code, 1);
    t.ok(wrong + lost > 0, stdout);
    t.match(readFileSync(join(folder, 'report.html'), 'utf8'), reason);
  });
}
