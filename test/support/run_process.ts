// Runs a script of ours as a process and collects how it ended.
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export function run(script: string, args: string[], started?: (child: ChildProcess) => void): Promise<Ended> {
  return runCommand(process.execPath, [script, ...args], started);
}

export function runCommand(command: string, args: string[], started?: (child: ChildProcess) => void): Promise<Ended> {
  return collect(() => spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] }), started);
}

/** In another folder, with further variables in its environment, and nothing on its stdin. */
export function runAt(cwd: string, command: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const stdio: ['pipe', 'pipe', 'pipe'] = ['pipe', 'pipe', 'pipe'];
  const begin = () => spawn(command, args, { cwd, stdio, env: { ...process.env, ...env } });
  return collect(begin, (child) => child.stdin?.end());
}

function collect(
  begin: () => ChildProcessByStdio<Writable, Readable, Readable>,
  started?: (child: ChildProcess) => void,
): Promise<Ended> {
  return new Promise((done, reject) => {
    const child = begin();
    const ended: Ended = { code: null, stdout: '', stderr: '' };
    child.stdout.on('data', (chunk) => {
      ended.stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      ended.stderr += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) => done({ ...ended, code }));
    started?.(child);
  });
}

/** Both pipes are closed before the child writes its first line. */
export function closeOutput(child: ChildProcess): void {
  child.stdout?.destroy();
  child.stderr?.destroy();
  child.stdin?.end();
}
