/** Temporary folders that go away with the test that asked for them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** Makes a folder with a short path, because the path of a unix socket has to fit 107 bytes. */
export function tempFolder(t: Pick<Test, 'teardown'>): string {
  const folder = mkdtempSync(join(tmpdir(), 'zswapd-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
