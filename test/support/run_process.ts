// Runs a script of ours as a process and collects how it ended.
import { type ChildProcess, spawn } from 'node:child_process';

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export function run(script: string, args: string[], started?: (child: ChildProcess) => void): Promise<Ended> {
  return runCommand(process.execPath, [script, ...args], started);
}

export function runCommand(command: string, args: string[], started?: (child: ChildProcess) => void): Promise<Ended> {
  return new Promise((done, reject) => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
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
