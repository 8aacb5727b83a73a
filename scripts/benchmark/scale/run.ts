/** `./scripts/bench --scale`: the rows, interleaved, and then the allocators; or a corpus for those. */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { swapOutGuest } from '../../guest/corpus.ts';
import { Skip } from '../../guest/tools.ts';
import { describeMachine, machineLine } from '../machine.ts';
import { type Options, UsageError } from '../options.ts';
import type { StartContext } from '../server.ts';
import { type AllocatorReport, compareAllocators } from './allocators.ts';
import { CORPUS_PAGES_MAX, checkTarget, collectPages, openCorpus } from './corpus.ts';
import { makeScaleReport, type ScaleReport } from './report.ts';
import { titleOf, VARIANTS } from './variants.ts';
import { type Visit, visit } from './visit.ts';

type Say = (line: string) => void;

/** Undefined when it was interrupted. */
export async function measureScale(
  options: Options,
  context: StartContext,
  progress: Say,
  signal: AbortSignal,
): Promise<ScaleReport | undefined> {
  const { corpus, seconds } = options;
  // A wrong name should not come out after minutes.
  if (corpus !== undefined) openCorpus(corpus);
  const facts = { machine: machineLine(await describeMachine()), date: new Date().toISOString().slice(0, 10) };
  const visits = await goRound(options, context, progress, signal);
  if (visits === undefined) return undefined;
  let allocators: AllocatorReport | undefined;
  if (corpus !== undefined) {
    allocators = await compareAllocators(context, corpus, progress, signal);
    if (allocators === undefined) return undefined;
  }
  return makeScaleReport({ ...facts, seconds, dataBytes: context.bytes }, VARIANTS, visits, allocators);
}

/** Each repetition visits every row once; of one that would take longer than there is time nothing is begun. */
async function goRound(
  { repeat, seconds, roundsSeconds }: Options,
  context: StartContext,
  progress: Say,
  signal: AbortSignal,
): Promise<Visit[][] | undefined> {
  const visits = VARIANTS.map((): Visit[] => []);
  const startedAt = performance.now();
  let longest = 0;
  for (let repetition = 0; repetition < repeat; repetition++) {
    const begun = performance.now();
    if (repetition > 0 && begun + longest > startedAt + roundsSeconds * 1000) {
      progress(`no time for repetition ${repetition + 1}`);
      break;
    }
    for (let i = 0; i < VARIANTS.length; i++) {
      // The order turns, as in the other runs, so that a slow minute does not meet the same row each time.
      const at = (i + repetition) % VARIANTS.length;
      if (signal.aborted) return undefined;
      const one = await visit({ context, seconds, seed: repetition + 1 }, VARIANTS[at]!);
      visits[at]!.push(one);
      const figures = `${Math.round(one.write.iops)} writes/s, ${Math.round(one.read.iops)} reads/s`;
      progress(`${repetition + 1}/${repeat} ${titleOf(VARIANTS[at]!)}: ${figures}`);
    }
    longest = Math.max(longest, performance.now() - begun);
  }
  return visits;
}

/** Boots a guest, and makes a corpus of what it swapped out. */
export async function takeCorpus(target: string, { root, folder }: StartContext, progress: Say): Promise<void> {
  const path = resolve(target);
  checkTarget(root, path);
  const work = join(folder, 'guest');
  mkdirSync(work, { recursive: true });
  try {
    const image = await swapOutGuest(root, work, progress);
    const pages = collectPages(image, path, CORPUS_PAGES_MAX);
    progress(`${path}: ${pages} pages`);
  } catch (error) {
    if (error instanceof Skip) throw new UsageError(`no guest can be run: ${error.message}`);
    throw error;
  }
}
