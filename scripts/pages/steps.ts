/** What the steps of a trace do, in a few words. Writeback's are numbered by each entry protocol in its own way. */
import { PROTOCOLS } from '#src/protocols/index.js';
import { LRU_STEPS } from '#src/protocols/lru/pages.js';
import { SHARED_STEPS } from '#src/protocols/steps.js';
import type { Shortest } from './shortest.ts';

type Steps = Readonly<Record<string, string>>;

const PARTNERS: Steps = Object.assign(
  {},
  SHARED_STEPS,
  LRU_STEPS,
  ...[PROTOCOLS.swapoff, PROTOCOLS.busy, PROTOCOLS.invalidate].flatMap((protocols) =>
    Object.values(protocols).map(({ declaration }) => ('steps' in declaration ? declaration.steps : {})),
  ),
);

/** A line for each step that the traces have; a label that two entry protocols use has a line for each. */
export function stepsText(traces: Iterable<Shortest>): string[] {
  const used = [...traces].flatMap(({ cell, trace }) =>
    trace.lines
      .filter(({ kind }) => kind === 'step')
      .map(({ text: label }) => {
        const { entry } = cell.combination;
        const steps: Steps = PROTOCOLS.entry[entry].declaration.steps;
        const own = steps[label];
        const text = own ?? PARTNERS[label];
        if (text === undefined) throw new Error(`${label} of ${entry}: say in its declaration what it does`);
        return { label, entry: own === undefined ? '' : entry, text };
      }),
  );
  const labels = [...new Set(used.map(({ label }) => label))].sort();
  return labels.flatMap((label) => {
    const ways = new Map(used.filter((one) => one.label === label).map(({ entry, text }) => [entry, text]));
    const name = (entry: string): string => (ways.size > 1 ? `\`${label}\` (${entry})` : `\`${label}\``);
    return [...ways].map(([entry, text]) => `- ${name(entry)}: ${text}`);
  });
}
