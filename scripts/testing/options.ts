// The command line of ./scripts/test, and what the environment changes.
import { parseArgs } from 'node:util';

export const USAGE = `usage: scripts/test [--long] [--only NAME]...

Installs what is missing, then runs the checks of the source, every test file, and the guest test. Its last line reads
"N passed, N failed, N skipped"; the exit code is 0 only when nothing failed, and 2 for a wrong command line.

  --only NAME   only the stages and the test files whose name contains NAME (repeatable)
  --long        also what takes minutes: longer random tests, and the guest runs that must notice a break

A stage that this machine cannot run is skipped, and the reason is printed. With CI=true a skipped guest test is a failure.
`;

export interface Options {
  readonly only: readonly string[];
  readonly long: boolean;
  /** Nothing may be left out unseen: nobody reads the reason of a skip there. */
  readonly strict: boolean;
}

export class UsageError extends Error {}

/** Undefined when the usage was asked for. */
export function parseOptions(args: readonly string[], environment: NodeJS.ProcessEnv): Options | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  if (values.only.includes('')) throw new UsageError('--only takes a part of a name, and this one is empty');
  return { only: values.only, long: values.long, strict: environment.CI === 'true' || environment.CI === '1' };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        only: { type: 'string', multiple: true, default: [] },
        long: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

export function isNamed(name: string, only: readonly string[]): boolean {
  return only.length === 0 || only.some((part) => name.includes(part));
}
