// What the exit codes of scripts/vm become; a shell script with that exit code stands in its place.
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type GuestRun, guestStage } from '#src/scripts/testing/guest.js';
import type { Tally } from '#src/scripts/testing/tally.js';
import { tempFolder } from '../support/tmp.ts';

function verdict(t: Test, code: number, run: Partial<GuestRun> = {}, strict = false): Promise<Tally> {
  const program = join(tempFolder(t), 'vm');
  writeFileSync(program, `#!/bin/sh\necho 'vm: skipped: no such machine'\nexit ${code}\n`);
  chmodSync(program, 0o755);
  return guestStage(program, { name: 'guest', title: '', args: [], wanted: 0, ...run }, strict).run(() => undefined);
}

t.test('verified memory passes, anything else fails', async (t) => {
  t.match(await verdict(t, 0), { passed: 1, failed: 0, skipped: [] });
  t.match(await verdict(t, 1), { passed: 0, failed: 1, skipped: [] });
});

t.test('a break that went unnoticed fails', async (t) => {
  t.match(await verdict(t, 3, { wanted: 3 }), { passed: 1, failed: 0 });
  t.match(await verdict(t, 0, { wanted: 3 }), { passed: 0, failed: 1 });
});

t.test('a machine that cannot run it skips it with the reason, but not in CI', async (t) => {
  t.same(await verdict(t, 77), { passed: 0, failed: 0, skipped: [{ what: 'guest', reason: 'no such machine' }] });
  t.match(await verdict(t, 77, {}, true), { passed: 0, failed: 1, skipped: [] });
});
