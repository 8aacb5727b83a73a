/** Runs command lines and collects what they say. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../main.js', import.meta.url));
const SEVERAL = fileURLToPath(new URL('command_lines.js', import.meta.url));

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function runZswapd(args: readonly string[]): Promise<Said> {
  return runProgram([MAIN, ...args]);
}

/** What each of the command lines comes to, in one process. */
export async function runEach(lines: readonly (readonly string[])[]): Promise<Said[]> {
  const { code, stdout, stderr } = await runProgram([SEVERAL, JSON.stringify(lines)]);
  if (code !== 0 || stderr !== '') throw new Error(`${code}: ${stderr}`);
  return JSON.parse(stdout);
}

function runProgram(args: readonly string[]): Promise<Said> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
  });
}
