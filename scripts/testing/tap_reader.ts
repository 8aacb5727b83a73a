// Counts what a test file prints, as tap-parser reads it. Only assertions count. The result that sums up a subtest counts
// when nothing inside explains it: a time-out, a wrong plan.
import { inspect } from 'node:util';
import { Parser, type Result } from 'tap-parser';
import { newTally, type Tally } from './tally.ts';

interface Failure {
  readonly name: string;
  /** Its diagnostics: where it is, what was found and wanted. */
  readonly details: string[];
}

/** A file or a subtest: what is known of it so far. */
interface Level {
  readonly name: string;
  readonly above: Level | undefined;
  results: number;
  failures: number;
  /** The subtest that has begun last; it stays until its result is there. */
  inner: Level | undefined;
}

export class TapReader {
  readonly tally: Tally = newTally();
  readonly failures: Failure[] = [];
  readonly #parser = new Parser();
  readonly #file: Level = { name: '', above: undefined, results: 0, failures: 0, inner: undefined };

  constructor() {
    this.#listen(this.#parser, this.#file);
    this.#parser.on('bailout', (reason: string) => this.#fail(this.#file, `Bail out! ${reason}`, undefined));
    this.#parser.on('plan', ({ end, comment }: { end: number; comment: string }) => {
      if (end === 0) this.#skip('the whole file', comment, 'no reason given');
    });
  }

  /** Whether the file said how many results it has, which it does last of all. */
  get complete(): boolean {
    return this.#parser.planStart !== -1;
  }

  /** The subtests that have begun and not ended, outermost first. */
  get running(): string {
    let last = this.#file;
    while (last.inner !== undefined) last = last.inner;
    return path(last, '');
  }

  line(text: string): void {
    this.#parser.write(`${text}\n`);
  }

  #listen(parser: Parser, level: Level): void {
    parser.on('child', (child: Parser) => {
      // The parser unescapes the names of results, and leaves those of subtests.
      const name = child.name.replace(/\\([#\\])/g, '$1');
      level.inner = { name, above: level, results: 0, failures: 0, inner: undefined };
      this.#listen(child, level.inner);
    });
    parser.on('assert', (result: Result) => this.#result(level, result));
  }

  #result(level: Level, { ok, name, skip, todo, diag }: Result): void {
    const { inner } = level;
    level.inner = undefined;
    level.results++;
    const why = skip || todo;
    if (why) this.#skip(path(level, name), why, `${skip ? 'SKIP' : 'TODO'}, no reason given`);
    // An assertion has nothing inside. A subtest without assertions, which passes by not throwing, counts like one.
    else if (ok && (inner === undefined || inner.results === 0)) this.tally.passed++;
    else if (!ok && (inner === undefined || inner.failures === 0)) this.#fail(level, name, diag);
  }

  #skip(what: string, reason: string | true, otherwise: string): void {
    this.tally.skipped.push({ what, reason: reason === true || reason === '' ? otherwise : reason });
  }

  #fail(level: Level, name: string, diag: unknown): void {
    this.tally.failed++;
    for (let at: Level | undefined = level; at !== undefined; at = at.above) at.failures++;
    this.failures.push({ name: path(level, name), details: Object.entries(diag ?? {}).flatMap(describe) });
  }
}

function path(level: Level, name: string): string {
  const parts = [name];
  for (let at: Level | undefined = level; at !== undefined; at = at.above) parts.unshift(at.name);
  return parts.filter((part) => part !== '').join(' > ');
}

function describe([key, value]: [string, unknown]): string[] {
  if (typeof value !== 'string') return `${key}: ${inspect(value)}`.split('\n');
  const lines = value.trimEnd().split('\n');
  return lines.length === 1 ? [`${key}: ${lines[0]}`] : [`${key}: |`, ...lines.map((line) => `  ${line}`)];
}
