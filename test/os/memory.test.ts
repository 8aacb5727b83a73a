// Memory that is locked on fault: it stays, takes nothing before it is touched, and can be given back.
import t from 'tap';
import { EINVAL } from '#src/os/errno.js';
import { leaveOutOfDumps, lockOnFault, releaseMemory, unlockMemory } from '#src/os/memory.js';
import { reserve } from '#src/shm/columns.js';
import { bytesWith, mappingsOf, residentWith } from '../support/mappings.ts';

/** Less than a process without rights may lock anywhere: 8 MiB since Linux 5.16, 64 KiB before. */
const BYTES = 8 * 4096;
/** What no kernel knows, as those before 5.18 don't know MADV_DONTNEED_LOCKED. */
const UNKNOWN_ADVICE = 9999;

const locked = (): number => bytesWith(mappingsOf('self'), 'lo');

t.test('locked memory takes what is touched, until it is unlocked', async (t) => {
  const buffer = reserve(BYTES);
  t.equal(lockOnFault(buffer), 0);
  t.equal(locked(), BYTES);
  const before = residentWith(mappingsOf('self'), 'lo');
  t.equal(before, 0);
  new Uint8Array(buffer)[4096] = 1;
  t.equal(residentWith(mappingsOf('self'), 'lo'), before + 4096);
  t.equal(unlockMemory(buffer), 0);
  t.equal(locked(), 0);
});

for (const advice of [undefined, UNKNOWN_ADVICE]) {
  t.test(`it is given back and stays locked${advice === undefined ? '' : ', also on an older kernel'}`, async (t) => {
    const buffer = reserve(BYTES);
    const bytes = new Uint8Array(buffer).fill(7);
    t.equal(lockOnFault(buffer), 0);
    t.equal(releaseMemory(bytes, 4096, 8192, advice), 0);
    t.same([bytes[4095], bytes[4096], bytes[12_287], bytes[12_288]], [7, 0, 0, 7]);
    t.equal(locked(), BYTES);
    unlockMemory(buffer);
    t.equal(releaseMemory(bytes, 0, 4096, advice), 0);
    t.equal(bytes[0], 0);
  });
}

t.test('memory that is no page is refused', async (t) => {
  t.equal(releaseMemory(new Uint8Array(reserve(BYTES)), 1, 4096), -EINVAL);
});

t.test('it is left out of core dumps', async (t) => {
  const before = bytesWith(mappingsOf('self'), 'dd');
  t.equal(leaveOutOfDumps(reserve(BYTES)), 0);
  t.equal(bytesWith(mappingsOf('self'), 'dd'), before + BYTES);
});
