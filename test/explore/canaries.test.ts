// Canaries: the explorer must find each mutant of a safe protocol, or its "clean" means nothing.
import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { BESIDE_MATRIX } from '#src/explore/scenarios/scenarios_beside.js';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { USUAL } from '#src/protocols/combinations.js';
import { DEFAULT_COMBINATION } from '#src/protocols/presets.js';
import { expectedVerdict } from '#src/scripts/pages/verdicts.js';
import type { Mutant } from '../protocols/mutants/mutant.ts';
import { MUTANTS } from '../protocols/mutants/table.ts';
import { JOB } from './cells.ts';

const DIST = new URL('../../', import.meta.url);
const PARTS = ['explore', 'image', 'pool', 'protocols', 'shm', 'zswap'];

const SERVED = formatCombination(USUAL[DEFAULT_COMBINATION.entry]);

/** A copy of what is compiled, inside the repository so that packages are found, with one line changed. */
function mutate({ file, from, to }: Mutant, number: number): URL {
  const copy = new URL(`mutants/${process.pid}-${number}/`, DIST);
  for (const part of PARTS) {
    for (const name of readdirSync(new URL(part, DIST), { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.js')) continue;
      const to = new URL(`${part}/${name}`, copy);
      mkdirSync(new URL('.', to), { recursive: true });
      // A module is known by its path, so a link is another one.
      linkSync(new URL(`${part}/${name}`, DIST), to);
    }
  }
  // Native types can be declared once in a process: one module for all copies.
  symlinkSync(new URL('os', DIST), new URL('os', copy));
  const path = new URL(file, copy);
  const text = readFileSync(path, 'utf8');
  if (!text.includes(from)) throw new Error(`${file} has no longer: ${from}`);
  rmSync(path);
  writeFileSync(path, text.replaceAll(from, to));
  return copy;
}

async function firstFinding(
  root: URL,
  { scenario: name, combination, bound = 2 }: Mutant,
): Promise<string | undefined> {
  const { Engine } = (await import(new URL('explore/engine.js', root).href)) as typeof import('#src/explore/engine.js');
  const { exhaustive } = (await import(
    new URL('explore/schedule/exhaustive.js', root).href
  )) as typeof import('#src/explore/schedule/exhaustive.js');
  const { findScenario } = (await import(
    new URL('explore/scenarios/scenarios.js', root).href
  )) as typeof import('#src/explore/scenarios/scenarios.js');
  const { parseReplay } = (await import(
    new URL('explore/schedule/replay_string.js', root).href
  )) as typeof import('#src/explore/schedule/replay_string.js');
  const scenario = findScenario(name);
  if (scenario === undefined) throw new Error(`there is no scenario ${name}`);
  const engine = Engine.create(JOB, scenario.exports);
  try {
    await engine.enter({ scenario, combination: parseReplay(`zx1:${name}:${combination}:`).combination });
    const { failure } = exhaustive(engine, { bound, schedulesMax: 50_000, seed: 1, all: false, first: true });
    return failure?.finding?.text;
  } finally {
    await engine.close();
  }
}

/** What a plain run explores elsewhere is found clean there: the matrix, and what stands beside it under what is served. */
function isExplored({ scenario, combination, bound }: Mutant): boolean {
  if (bound !== undefined) return false;
  const beside = combination === SERVED && BESIDE_MATRIX.some(({ name }) => name === scenario);
  return beside || expectedVerdict(combination, scenario) === 'clean';
}

// A search or two for each, on a processor that others may want as well.
t.setTimeout(MUTANTS.length * 60_000);

/** Part of a name: only those. */
const ONLY = process.env.ZSWAPD_CANARY ?? '';

const WANTED = MUTANTS.filter(({ name }) => name.includes(ONLY));
if (WANTED.length === 0) t.fail(`no canary has ${JSON.stringify(ONLY)} in its name`);

WANTED.forEach((mutant, number) => {
  t.test(mutant.name, async (t) => {
    if (!isExplored(mutant)) t.equal(await firstFinding(DIST, mutant), undefined, 'clean as it is');
    const copy = mutate(mutant, number);
    t.teardown(() => rmSync(fileURLToPath(copy), { recursive: true }));
    const found = await firstFinding(copy, mutant);
    t.ok(found, `found: ${found}`);
  });
});
