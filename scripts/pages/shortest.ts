/** The shortest trace of each kind of finding among some cells, from an exhaustive search of each of them. */
import type { Cell } from '#src/explore/cell.js';
import type { Engine } from '#src/explore/engine.js';
import { type Trace, traceOf } from '#src/explore/report.js';
import type { Outcome } from '#src/explore/run.js';
import { exhaustive } from '#src/explore/schedule/exhaustive.js';
import { signature } from '#src/explore/search/dimensions.js';
import { minimise } from '#src/explore/search/minimise.js';
import type { Blamed } from './blame.ts';
import { KINDS } from './expected_matrix.ts';
import { scenarioNamed } from './scenarios.ts';

export const BOUND = 2;
const SCHEDULES_MAX = 1_000_000;

export interface Shortest {
  readonly cell: Cell;
  readonly trace: Trace;
}

interface Searched {
  readonly cell: Cell;
  /** Bits of DIMENSIONS: combinations that agree in these are the same cell. */
  readonly looked: number;
  readonly outcome: Outcome;
}

export class Traces {
  private readonly engine: Engine;
  private readonly searched: Searched[] = [];

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** By kind, in the order of the matrix's legend. */
  async shortest(blamed: readonly Blamed[]): Promise<Map<string, Shortest>> {
    const best = new Map<string, Searched>();
    const kinds = Object.values(KINDS);
    for (const one of [...blamed].sort(
      (a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind) || actors(a) - actors(b),
    )) {
      const found = best.get(one.kind);
      // More actors take far longer to search, and seldom fewer steps to fail: they are for what fewer do not find.
      if (found !== undefined && actors(one) > found.cell.scenario.actors.length) continue;
      const { cell, looked, outcome } = await this.search(one);
      if (found === undefined || isReadSooner(outcome, found.outcome)) best.set(one.kind, { cell, looked, outcome });
    }
    return new Map([...best].map(([kind, { cell, outcome }]) => [kind, { cell, trace: withoutLines(cell, outcome) }]));
  }

  private async search({ combination, scenario: name, kind }: Blamed): Promise<Searched> {
    const known = this.searched.find(
      ({ cell, looked, outcome }) =>
        cell.scenario.name === name &&
        outcome.finding?.kind === kind &&
        signature(cell.combination, looked) === signature(combination, looked),
    );
    if (known !== undefined) return known;
    const cell = { scenario: scenarioNamed(name), combination };
    // The shortest one may be of another kind than the first one, which is what the matrix tells.
    const failure = (await this.explore(cell, kind, false)) ?? (await this.explore(cell, kind, true));
    if (failure === null) throw new Error(`${name}: no ${kind} under ${JSON.stringify(combination)}`);
    const made = { cell, looked: this.engine.consulted, outcome: minimise(this.engine, failure) };
    this.searched.push(made);
    return made;
  }

  private async explore(cell: Cell, kind: string, first: boolean): Promise<Outcome | null> {
    await this.engine.enter(cell);
    const options = { bound: BOUND, schedulesMax: SCHEDULES_MAX, seed: 1, all: false, first };
    const { failure } = exhaustive(this.engine, options);
    return failure?.finding?.kind === kind ? failure : null;
  }
}

function actors({ scenario }: Blamed): number {
  return scenarioNamed(scenario).actors.length;
}

/** A search counts preemptions first, a reader steps. */
function isReadSooner(a: Outcome, b: Outcome): boolean {
  if (a.steps !== b.steps) return a.steps < b.steps;
  return a.preemptions !== b.preemptions ? a.preemptions < b.preemptions : a.lines.length < b.lines.length;
}

/** Lines of the source change with every edit of it, files hardly ever. */
export function withoutLines(cell: Cell, outcome: Outcome): Trace {
  const trace = traceOf(cell, outcome);
  if (trace === null) throw new Error('a trace without a finding');
  const lines = trace.lines.map((line) => ({
    ...line,
    source: line.source.replace(/^src\/(?:protocols\/)?/, '').replace(/:\d+$/, ''),
  }));
  return { ...trace, lines };
}
