/** One soak as a process, and its figures from the time series that it leaves. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '#src/config/fields.js';
import { Child, describeEnding } from '../support/child.ts';

/** Of the run, for what comes after it: everything is read back. */
const GRACE_SECONDS = 300;

interface Row {
  readonly type: string;
  readonly wrong?: number;
  readonly lost?: number;
  readonly unaccounted?: number;
  readonly faults?: readonly { readonly injected: number; readonly detected: number; readonly tolerated: number }[];
}

export interface Soaked {
  readonly wrong: number;
  readonly lost: number;
  readonly unaccounted: number;
  /** Errors and lost connections, as the client saw them. */
  readonly errors: number;
  /** Of the one fault of its plan, if it had one. */
  readonly fault: { readonly injected: number; readonly detected: number; readonly tolerated: number } | undefined;
}

/** `onPhase`: gets the name of each phase as it begins. */
export async function soakOnce(
  seconds: number,
  args: readonly string[],
  folder: string,
  onPhase: (name: string) => void = () => undefined,
): Promise<Soaked> {
  const report = join(folder, 'report');
  const main = join(REPOSITORY, 'dist/main.js');
  const all = [main, 'soak', '--time', `${seconds}s`, '--seed', '1', ...args, '--report', report];
  const child = new Child(process.execPath, all, {
    err: (text) => {
      for (const [, name] of text.matchAll(/^soak: (faults|healed): /gm)) onPhase(name);
    },
  });
  const ending = await child.finish(seconds + GRACE_SECONDS);
  if (ending.code === null || ending.code > 5 || ending.code === 2) {
    throw new Error(`a soak ended with ${describeEnding(ending)}: ${ending.stderr.trim().split('\n').at(-1)}`);
  }
  const lines = readFileSync(join(report, 'soak.jsonl'), 'utf8').trim().split('\n');
  const rows = lines.map((line) => JSON.parse(line) as Row);
  const { wrong = 0, lost = 0, unaccounted = 0, faults } = rows.at(-1)!;
  return {
    wrong,
    lost,
    unaccounted,
    errors: rows.filter(({ type }) => type === 'trouble').length,
    fault: faults?.at(0),
  };
}
