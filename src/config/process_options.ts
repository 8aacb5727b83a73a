// The options under `process`: how the machine is to treat a process that holds the memory of guests.
// Invariant: nothing here is needed to serve; what is refused stops a start only where that is said by name.
import { OOM_SCORE_ADJ_MAX, OOM_SCORE_ADJ_MIN } from './bounds.ts';
import { bool, choice, group, integerOrNull } from './fields.ts';

const WISHES = ['off', 'try', 'required'] as const;

export const processGroup = group(
  {
    lockMemory: choice(
      WISHES,
      "Keep the pool, its tables and its buffers in RAM (mlock2, MLOCK_ONFAULT): the host then never swaps out what a guest has swapped out, as the kernel's zswap never is. Only pages that are touched take RAM, so it is pool.max that bounds this; freed ones go back as ever. All of the address space that is reserved counts against RLIMIT_MEMLOCK, so set LimitMEMLOCK=infinity, or give CAP_IPC_LOCK; where it does not fit, nothing is locked. The heaps of Node are not locked, because V8 aborts where they are: a unit's MemorySwapMax=0 keeps all of a process in RAM. off lets the host swap the pool out, where it is to give way to others.",
    ).prefault('try'),
    dontDump: choice(
      WISHES,
      "Leave the memory of guests out of core dumps (MADV_DONTDUMP), as QEMU's dump-guest-core=off: the pool, its tables and buffers, and what connections get later. A core is as good for finding a fault, and smaller. What may still be in it: a few pages that the compressor of each thread had last, and what was read ahead of a connection that had to wait (TCP, up to 12 MiB). LimitCORE=0 leaves no core at all.",
    ).prefault('try'),
    ioFlusher: choice(
      WISHES,
      'Have all threads be I/O flushers (PR_SET_IO_FLUSHER, Linux 5.6): their own allocations do not wait for writeback, which may wait for the guest. Needs CAP_SYS_RESOURCE. The process replaces itself once for it, under the same pid.',
    ).prefault('try'),
    oomScoreAdj: integerOrNull(
      OOM_SCORE_ADJ_MIN,
      OOM_SCORE_ADJ_MAX,
      'oom_score_adj',
      'What the kernel adds to the score of this process when it looks for one to end, in thousandths of the memory. null leaves it as it was inherited: whom a host ends first is for its operator to say, here or by OOMScoreAdjust= of a unit. A killed server takes the swap of its guests with it, so -900 is good for a host that runs little else. -1000 is never ended: a host that only this process has filled then ends all others. Less than what was inherited needs CAP_SYS_RESOURCE. It is set when the helpers of a start have ended (those that look at loop devices, getent), so that none inherits it.',
    ).prefault(null),
    oomScoreAdjRequired: bool('Refuse to start where oomScoreAdj can not be set.').prefault(false),
  },
  'How the machine is to treat this process. try does what is permitted and supported, required refuses to start (exit 2) where it is not; a line of the log for each says done, off, not permitted or not supported, and why, and so does zswapd stats.',
);
