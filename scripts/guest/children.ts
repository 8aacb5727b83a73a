// The processes that a run starts. Each is known by its pid and ended by it, however the run ends: at the end of this
// process by SIGKILL, and should this process itself be killed, by the kernel (setpriv --pdeathsig).
import { type ChildProcess, spawn } from 'node:child_process';
import { find } from './tools.ts';

interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export function describeEnding({ code, signal }: Ending): string {
  return signal === null ? `exit code ${code}` : `signal ${signal}`;
}

const running = new Set<Child>();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class Child {
  readonly name: string;
  readonly process: ChildProcess;
  readonly ended: Promise<Ending>;
  /** Set once it has ended. */
  ending: Ending | undefined;

  /** `out` and `err` receive what it writes, in chunks. */
  constructor(command: string, args: readonly string[], out: (text: string) => void, err: (text: string) => void) {
    this.name = command;
    const setpriv = find('setpriv');
    this.process =
      setpriv === undefined
        ? spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
        : spawn(setpriv, ['--pdeathsig', 'TERM', command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(this);
    this.process.stdout?.setEncoding('utf8').on('data', out);
    this.process.stderr?.setEncoding('utf8').on('data', err);
    this.ended = new Promise((resolve) => {
      const end = (ending: Ending): void => {
        running.delete(this);
        this.ending = ending;
        resolve(ending);
      };
      // 'close' and not 'exit': by then all that it wrote has been read.
      this.process.on('close', (code, signal) => end({ code, signal }));
      this.process.on('error', (error) => {
        err(`${command}: ${error.message}\n`);
        if (this.process.pid === undefined) end({ code: 127, signal: null });
      });
    });
  }

  kill(signal: NodeJS.Signals): void {
    if (this.ending === undefined) this.process.kill(signal);
  }

  /** Asks it to end, and kills it when it does not within the deadline. */
  async stop(deadlineSeconds: number): Promise<Ending> {
    this.kill('SIGTERM');
    const killer = setTimeout(() => this.kill('SIGKILL'), deadlineSeconds * 1000);
    const ending = await this.ended;
    clearTimeout(killer);
    return ending;
  }
}

/** Cuts chunks into lines; a line is handed on when it is complete. */
export function byLine(take: (line: string) => void): (text: string) => void {
  let rest = '';
  return (text) => {
    const lines = (rest + text).split(/\r*\n/);
    rest = lines.pop() ?? '';
    for (const line of lines) take(line);
  };
}
