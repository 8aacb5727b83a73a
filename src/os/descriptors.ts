/** The limit of descriptors of this process, lowered to what is open, for tests of what happens then. */
import { closeSync, openSync } from 'node:fs';
import { libc, result } from './libc.ts';

const cPrlimit = libc.func('int prlimit(int pid, int resource, const uint64_t *limit, _Out_ uint64_t *old)');
const RLIMIT_NOFILE = 7;

/** Nothing more can be opened from here on (EMFILE), until what it returns is called. */
export function exhaustDescriptors(): () => void {
  const before = [0, 0];
  const read = result(cPrlimit(0, RLIMIT_NOFILE, null, before));
  if (read < 0) throw new Error(`prlimit failed (${read})`);
  // The lowest that is free is what would be had next.
  const next = openSync('/dev/null', 'r');
  closeSync(next);
  const [soft, hard] = before;
  cPrlimit(0, RLIMIT_NOFILE, [next, hard], [0, 0]);
  return () => {
    cPrlimit(0, RLIMIT_NOFILE, [soft, hard], [0, 0]);
  };
}
