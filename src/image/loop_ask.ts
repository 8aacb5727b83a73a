/**
 * What is behind loop devices, asked in a process of its own: the kernel asks the file system of each, and one that hangs (NFS,
 * FUSE) holds whoever asks, also for an image that has nothing to do with it. A process that waits so can be left behind.
 * Invariants: the clock of an answer runs only while there is somebody who has asked, and waits; who does not come to run, or gets
 * no processor, tells nothing of a device. No answer is never taken for one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { openPipe, type Pipe, readWithin } from '../os/pipe.ts';
import { statFields } from '../os/proc_stat.ts';
import { tried } from '../os/tried.ts';
import { type Asked, type BehindLoop, behindLoop } from './loop_look.ts';

/** How long a device has for its answer. */
export const ANSWER_MS = 2000;
/** How long a process has until it runs, and one that runs and gets no processor for its answer. */
export const START_MS = 60_000;
/** How often one without an answer is looked at, past its time. */
const LOOK_MS = 50;
/** So many devices, and so many paths, may cost a start that time; what is left by then is not asked. */
const MOST_HUNG = 3;

/** What could be had of a loop device, and who said it. `nobody` says null. */
export interface LoopAnswer {
  readonly by: Asked | 'nobody';
  readonly behind: BehindLoop | null;
}

/** The process that asks did not come to run. */
export class NobodyAsks extends Error {}

type Answers = Map<string, LoopAnswer>;

/** By name ("loop7"). Where a device is silent, what lies at the path of it; throws NobodyAsks. */
export function askLoops(names: readonly string[], startMs = START_MS): Answers {
  const answers: Answers = new Map();
  for (const asked of ['device', 'path'] as const) askAll(asked, names, answers, startMs);
  for (const name of unanswered(names, answers)) answers.set(name, { by: 'nobody', behind: null });
  return answers;
}

function unanswered(names: readonly string[], answers: Answers): string[] {
  return names.filter((name) => !answers.has(name));
}

function askAll(asked: Asked, names: readonly string[], answers: Answers, startMs: number): void {
  let left = unanswered(names, answers);
  for (let hung = 0; left.length > 0 && hung < MOST_HUNG; hung++) {
    if (!askProcess(asked, left, answers, startMs)) {
      // Where no process can be had, or it died, they are asked here: to wait is better than to serve what a loop device has.
      for (const name of unanswered(left, answers)) answers.set(name, { by: asked, behind: behindLoop(name, asked) });
    }
    // They are asked in this order, so that the first without an answer is the one that has none.
    left = unanswered(left, answers).slice(1);
  }
}

/** False if it ended before its time; what has no answer after that is silent otherwise. */
function askProcess(asked: Asked, names: readonly string[], answers: Answers, startMs: number): boolean {
  const pipe = openPipe();
  if (pipe === null) return false;
  try {
    const asker = startAsker(pipe, asked, names);
    if (asker === null) return false;
    try {
      return hear(asker, pipe.reads, asked, names, answers, startMs);
    } finally {
      if (unanswered(names, answers).length > 0) asker.kill('SIGKILL');
    }
  } finally {
    closeSync(pipe.reads);
  }
}

/** null where there is none to be had. Its end of the pipe is closed here. */
function startAsker(pipe: Pipe, asked: Asked, names: readonly string[]): ChildProcess | null {
  const script = fileURLToPath(new URL('./loop_asker.js', import.meta.url));
  // What is loaded into every process of node, to watch it say, is not meant for this one.
  const { NODE_OPTIONS: _, ...env } = process.env;
  try {
    const asker = spawn(process.execPath, [script, asked, ...names], {
      env,
      stdio: ['ignore', pipe.writes, 'inherit'],
    });
    // Told later than it is seen here, by the missing number.
    asker.on('error', () => undefined);
    // One that hangs must not hold the end of this process.
    asker.unref();
    return asker.pid === undefined ? null : asker;
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error;
    return null;
  } finally {
    closeSync(pipe.writes);
  }
}

/** Takes its lines until all are answered, or one is late; false at an early end. */
function hear(
  asker: ChildProcess,
  fd: number,
  asked: Asked,
  names: readonly string[],
  answers: Answers,
  startMs: number,
): boolean {
  let rest = '';
  for (let runs = false; !runs || unanswered(names, answers).length > 0; ) {
    const piece = runs ? answerWithin(asker, fd) : within(fd, startMs);
    if (piece === null && !runs) throw new NobodyAsks();
    if (piece === null || piece.length === 0) return piece === null;
    // A line that was cut by the end has no line feed, and is none.
    const lines = (rest + piece.toString('utf8')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      runs = true;
      if (line === '') continue;
      const [name, behind] = JSON.parse(line) as [string, BehindLoop | null];
      answers.set(name, { by: asked, behind });
    }
  }
  return true;
}

/** As readWithin, whatever signals come. */
function within(fd: number, ms: number): Buffer | null {
  const end = performance.now() + ms;
  for (;;) {
    const left = Math.max(0, end - performance.now());
    const piece = readWithin(fd, Math.ceil(left));
    if (piece !== null || left === 0) return piece;
  }
}

/** null if it waits for the answer, and not for a processor. */
function answerWithin(asker: ChildProcess, fd: number): Buffer | null {
  const end = performance.now() + START_MS;
  let piece = within(fd, ANSWER_MS);
  while (piece === null && isRunnable(asker) && performance.now() < end) piece = within(fd, LOOK_MS);
  return piece;
}

function isRunnable({ pid }: ChildProcess): boolean {
  const stat = tried(() => readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? '';
  return statFields(stat)[0] === 'R';
}
