// Guests that swap: a full-sized one through QEMU's client, and a small one with other protocols through its kernel's. With
// --long a full-sized one through its kernel's too, one for all protocols that hold, those whose server goes and comes, and the runs in which the server is
// spoiled on purpose and the guest has to notice.
import { join } from 'node:path';
import type { Combination } from '#src/protocols/index.js';
import { safeCombinations, settingsOf } from '../support/safe_combinations.ts';
import { run } from './command.ts';
import type { Stage } from './stage.ts';
import { newTally } from './tally.ts';

/** scripts/vm has deadlines of its own; this one is for scripts/vm itself. */
const LIMIT_SECONDS = 3600;
/** The exit code of scripts/vm on a machine that cannot run it. */
const SKIPPED = 77;

export interface GuestRun {
  readonly name: string;
  readonly title: string;
  readonly args: readonly string[];
  readonly wanted: number;
}

const GUEST: GuestRun = {
  name: 'guest',
  title: "a guest swaps on the export, attached through QEMU's own client",
  args: ['--attach', 'blk'],
  wanted: 0,
};
const GUEST_NBD: GuestRun = {
  name: 'guest-nbd',
  title: "a guest swaps on the export, attached through its kernel's client",
  args: ['--attach', 'nbd'],
  wanted: 0,
};

/** So little that a small guest fills it, and writeback runs beside its swapping. */
const SMALL_POOL = 'pool.max=12MiB';

/** A small guest for each combination; the default's full-sized one is run in any case. */
function combinationRun(one: Combination): GuestRun {
  const names = Object.values(one);
  return {
    name: `guest-${names.join('-')}`,
    title: `a guest swaps with ${names.join(', ')}, and writeback runs`,
    args: [
      '--small',
      '--attach',
      isPlain(one) ? 'nbd' : 'blk',
      ...[SMALL_POOL, ...settingsOf(one)].flatMap((setting) => ['--set', setting]),
    ],
    wanted: 0,
  };
}

/** In a plain run: the one that is the least like the default. */
function isPlain({ swapoff, invalidate }: Combination): boolean {
  return swapoff === 'drain-early-ref' && invalidate === 'erase';
}

const BREAKS: readonly GuestRun[] = [
  {
    name: 'guest-break-corrupt',
    title: 'a guest notices that its swap was overwritten',
    args: ['--attach', 'both', '--break', 'corrupt'],
    wanted: 3,
  },
  {
    name: 'guest-break-kill',
    title: 'a guest notices that the server was killed',
    args: ['--attach', 'both', '--break', 'kill'],
    wanted: 3,
  },
];

const RESTARTS: readonly GuestRun[] = [
  ...(['clean', 'kill', 'upgrade'] as const).map((kind) => ({
    name: `guest-restart-${kind}`,
    title: `a guest swaps on while its server goes and comes (${kind})`,
    args: ['--small', '--attach', 'both', '--restart', kind],
    wanted: 0,
  })),
  {
    name: 'guest-restart-volatile',
    title: 'a volatile server that was killed does not serve again, and its guest gets errors and no wrong page',
    args: ['--small', '--attach', 'both', '--restart', 'kill', '--set', 'durability=volatile'],
    wanted: 3,
  },
];

/** Each of its kernels by a link of its own, which are the two that there are. */
const MEMCGS: readonly GuestRun[] = [
  {
    name: 'guest-memcg',
    title: "a guest's cgroups are told by the agent inside, and limits hold for them",
    args: ['--memcg'],
    wanted: 0,
  },
  {
    name: 'guest-memcg-backports',
    title: 'the same on a 6.12, over a virtio-serial port',
    args: ['--memcg', '--kernel', 'backports', '--agent-link', 'serial'],
    wanted: 0,
  },
];

export function guestStages(root: string, long: boolean, strict: boolean): Stage[] {
  const program = join(root, 'scripts/vm');
  const runs = safeCombinations()
    .filter((one) => long || isPlain(one))
    .map(combinationRun);
  return [GUEST, ...(long ? [GUEST_NBD, ...MEMCGS] : []), ...runs, ...(long ? [...RESTARTS, ...BREAKS] : [])].map(
    (guest) => guestStage(program, guest, strict),
  );
}

/** `strict`: a machine that cannot run it fails the run. */
export function guestStage(program: string, guest: GuestRun, strict: boolean): Stage {
  return {
    name: guest.name,
    title: guest.title,
    // An emulated processor is one thread, and a guest's folder is its own.
    pairs: true,
    run: async (say) => {
      let reason = 'scripts/vm gave no reason';
      const ending = await run({
        args: [program, ...guest.args],
        timeoutSeconds: LIMIT_SECONDS,
        onStdout: (line) => {
          reason = /^vm: skipped: (.*)$/.exec(line)?.[1] ?? reason;
          say(line);
        },
        onStderr: say,
      });
      const tally = newTally();
      if (ending.code === guest.wanted) {
        tally.passed = 1;
      } else if (ending.code === SKIPPED && !strict) {
        tally.skipped.push({ what: guest.name, reason });
      } else {
        tally.failed = 1;
        const inCi = ending.code === SKIPPED ? `skipped (${reason}), which with CI=true is a failure` : '';
        say(`not ok: ${guest.name}: ${inCi || `${ending.description}, wanted exit code ${guest.wanted}`}`);
      }
      return tally;
    },
  };
}
