/**
 * A process that runs several command lines, one after the other, each as `zswapd` would: for mistakes whose only outcome is
 * text and an exit code. Loading the program takes longer than all of them together.
 */
import { runCommandLine } from '#src/cli/command_line.js';

interface Said {
  code: number;
  stdout: string;
  stderr: string;
}

/** Answers what `write` was called with, and calls whoever waits for it. */
function take(said: Said, key: 'stdout' | 'stderr') {
  return (text: string | Uint8Array, ...rest: unknown[]): boolean => {
    said[key] += text;
    const done = rest.find((one) => typeof one === 'function');
    if (done !== undefined) queueMicrotask(done as () => void);
    return true;
  };
}

const all: Said[] = [];
const write = process.stdout.write.bind(process.stdout);
const program = process.argv.slice(0, 2);
for (const args of JSON.parse(process.argv[2]) as string[][]) {
  const said: Said = { code: -1, stdout: '', stderr: '' };
  Object.assign(process.stdout, { write: take(said, 'stdout') });
  Object.assign(process.stderr, { write: take(said, 'stderr') });
  process.argv = [...program, ...args];
  said.code = await runCommandLine();
  process.removeAllListeners('uncaughtException');
  all.push(said);
}
write(JSON.stringify(all));
