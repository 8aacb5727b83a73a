// The processes that a run starts: should this process itself be killed, the kernel ends them (setpriv --pdeathsig).
import { find } from './tools.ts';

/** The same command, to be ended with whoever starts it, where there is a program that sees to that. */
export function mortal(command: string, args: readonly string[] = []): [string, ...string[]] {
  const setpriv = find('setpriv');
  return setpriv === undefined ? [command, ...args] : [setpriv, '--pdeathsig', 'TERM', command, ...args];
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
