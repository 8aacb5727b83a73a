// Runs a script of ours as a process and collects how it ended.
import type { ChildProcess } from 'node:child_process';
import { Child, type ChildOptions, type Ending } from '#src/scripts/support/child.js';

export type Ended = Omit<Ending, 'signal'>;

const PIPES = ['pipe', 'pipe', 'pipe'] as const;

export function run(script: string, args: string[], started?: (child: ChildProcess) => void): Promise<Ended> {
  return runCommand(process.execPath, [script, ...args], started);
}

export function runCommand(command: string, args: string[], started?: (child: ChildProcess) => void): Promise<Ended> {
  return collect(command, args, { stdio: [...PIPES] }, started);
}

/** In another folder, with further variables in its environment, and nothing on its stdin. */
export function runAt(cwd: string, command: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return collect(command, args, { cwd, env });
}

/** Fails where the program can't be started. */
async function collect(
  command: string,
  args: string[],
  options: ChildOptions,
  started?: (child: ChildProcess) => void,
): Promise<Ended> {
  const child = new Child(command, args, options);
  started?.(child.process);
  const { code, stdout, stderr } = await child.ended;
  if (child.failure !== undefined) throw child.failure;
  return { code, stdout, stderr };
}

/** Both pipes are closed before the child writes its first line. */
export function closeOutput(child: ChildProcess): void {
  child.stdout?.destroy();
  child.stderr?.destroy();
  child.stdin?.end();
}
