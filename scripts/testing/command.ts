// Runs one program to its end. Each gets a process group of its own, so that a program that hangs is ended together with
// what it started; nothing is left behind when the run itself is interrupted.
import { type ChildProcess, spawn } from 'node:child_process';

/** A program that was asked to end has this long before it is killed. */
const GRACE_MS = 10_000;

interface Command {
  readonly args: readonly [string, ...string[]];
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutSeconds: number;
  readonly onStdout: (line: string) => void;
  readonly onStderr: (line: string) => void;
}

export interface Ending {
  readonly code: number | null;
  /** How it ended, in words. */
  readonly description: string;
}

const running = new Set<ChildProcess>();
let ending = false;

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    // Nobody is left in the group, which is what the signal was for.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Ends everything that runs; the last call of an interrupted run. */
export async function endAll(): Promise<void> {
  ending = true;
  const ends = [...running].map(async (child) => {
    const closed = new Promise((resolve) => child.once('close', resolve));
    signalGroup(child, 'SIGTERM');
    const killer = setTimeout(() => signalGroup(child, 'SIGKILL'), GRACE_MS);
    await closed;
    clearTimeout(killer);
  });
  await Promise.all(ends);
}

export function run(command: Command): Promise<Ending> {
  const [program, ...args] = command.args;
  return new Promise((resolve, reject) => {
    // Left open: who ends everything ends this process next, and nothing may begin in between.
    if (ending) return;
    const child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...command.env },
    });
    running.add(child);
    const flushOut = readLines(child.stdout, command.onStdout);
    const flushErr = readLines(child.stderr, command.onStderr);
    let late = false;
    let killer: NodeJS.Timeout | undefined;
    const timer = setTimeout(() => {
      late = true;
      signalGroup(child, 'SIGTERM');
      killer = setTimeout(() => signalGroup(child, 'SIGKILL'), GRACE_MS);
    }, command.timeoutSeconds * 1000);
    const settle = (): void => {
      running.delete(child);
      clearTimeout(timer);
      clearTimeout(killer);
    };
    child.once('error', (error) => {
      settle();
      reject(error);
    });
    child.once('close', (code, signal) => {
      settle();
      flushOut();
      flushErr();
      const ended = signal === null ? `exit code ${code}` : `signal ${signal}`;
      const description = late ? `not finished after ${command.timeoutSeconds} s, then ${ended}` : ended;
      resolve({ code: late ? null : code, description });
    });
  });
}

/** Hands on whole lines; the returned function hands on what is left when there is no more. */
function readLines(stream: NodeJS.ReadableStream, take: (line: string) => void): () => void {
  let rest = '';
  stream.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(line.replace(/\r$/, ''));
  });
  return () => {
    if (rest !== '') take(rest);
  };
}
