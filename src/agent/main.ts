// The agent as a program of its own, for a guest that has Node and this folder and nothing else.
import { AgentRun, openProbes } from './agent.ts';
import { HELP, parseOptions } from './options.ts';
import { Problem, textOf } from './problem.ts';

/** A try of the probes needs little. */
const CHECK_BUFFER_KIB = 64;

const say = (line: string): void => void process.stderr.write(`agent: ${line}\n`);

/** Returns the exit code. */
export async function runAgent(args: readonly string[], print: (text: string) => unknown): Promise<number> {
  let run: AgentRun;
  try {
    const asked = parseOptions(args);
    if (asked === 'help') {
      await print(HELP);
      return 0;
    }
    if (asked === 'check') {
      const { tracefs, reader } = openProbes(CHECK_BUFFER_KIB, () => undefined);
      reader.close();
      const left = tracefs.close();
      if (left !== undefined) say(left);
      await print('the probes fit this kernel\n');
      return 0;
    }
    run = new AgentRun(asked, say);
  } catch (error) {
    // A token that can't be read has an error of the system.
    if (!(error instanceof Problem) && !(error instanceof Error && 'syscall' in error)) throw error;
    say(textOf(error));
    return 2;
  }
  const end = new AbortController();
  const onSignal = (): void => end.abort();
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  try {
    await run.run(end.signal);
    return 0;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    say(error.message);
    return 1;
  } finally {
    process.off('SIGTERM', onSignal);
    process.off('SIGINT', onSignal);
  }
}
