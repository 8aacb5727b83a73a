// Reads what a test file prints: TAP 14 as tap writes it, subtests indented by four spaces or in braces.
// Only assertions count. The line that sums up a subtest counts when nothing inside explains it: a time-out, a wrong plan.
import { newTally, type Tally } from './tally.ts';

interface Failure {
  readonly name: string;
  /** The lines of its YAML block: where it is, what was found and wanted. */
  readonly details: string[];
}

/** One level of subtests: what is known of it so far. */
interface Level {
  /** From the comment, or the brace line, that opened the subtest which is running one level deeper. */
  subtest: string;
  planned: boolean;
  results: number;
  failures: number;
  /** Set while a subtest in braces runs one level deeper; its verdict came before its content. */
  braces: { readonly ok: boolean; readonly name: string } | undefined;
}

const RESULT = /^(not )?ok\b(?: \d+)?(?: - )?(.*)$/;
const DIRECTIVE = /^(.*?)\s*(?<!\\)# (SKIP|TODO)\b\s*(.*)$/i;
const TIME = / # time=[\d.]+m?s$/;

function plain(text: string): string {
  return text.replace(/\\([#\\])/g, '$1');
}

export class TapReader {
  readonly tally: Tally = newTally();
  readonly failures: Failure[] = [];
  readonly #levels: Level[] = [];
  #yamlIndent = -1;
  #details: string[] | undefined;

  /** Whether the file said how many results it has, which it does last of all. */
  get complete(): boolean {
    return this.#levels[0]?.planned ?? false;
  }

  /** The subtests that have begun and not ended, outermost first. */
  get running(): string {
    return this.#path(this.#levels.length, '');
  }

  line(text: string): void {
    const content = text.trimStart();
    const indent = text.length - content.length;
    if (this.#yamlIndent >= 0) this.#yaml(text, content, indent);
    else if (content === '---') this.#yamlIndent = indent;
    else if (content.startsWith('Bail out!')) this.#fail(0, content);
    else if (indent % 4 === 0) this.#statement(indent / 4, content);
  }

  #yaml(text: string, content: string, indent: number): void {
    if (content === '...' && indent === this.#yamlIndent) this.#yamlIndent = -1;
    else this.#details?.push(text.slice(this.#yamlIndent));
  }

  #statement(depth: number, content: string): void {
    const comment = /^# Subtest: (.*)$/.exec(content);
    if (comment !== null) {
      this.#level(depth).subtest = plain(comment[1]);
      this.#levels.length = depth + 1;
      return;
    }
    const plan = /^1\.\.(\d+)(?: # ?(.*))?$/.exec(content);
    const result = RESULT.exec(content);
    if (plan !== null) this.#plan(depth, Number(plan[1]), plan[2]);
    else if (result !== null) this.#result(depth, result[1] === undefined, result[2]);
    else if (content === '}') this.#closeBraces(depth);
  }

  #plan(depth: number, count: number, comment: string | undefined): void {
    this.#level(depth).planned = true;
    if (depth === 0 && count === 0) {
      const reason = (comment ?? '').replace(/^SKIP\s*/i, '');
      this.tally.skipped.push({ what: 'the whole file', reason: reason === '' ? 'no reason given' : reason });
    }
  }

  #result(depth: number, ok: boolean, rest: string): void {
    this.#details = undefined;
    if (rest.endsWith(' {')) {
      const name = plain(rest.slice(0, -2).replace(TIME, ''));
      const level = this.#level(depth);
      level.subtest = name;
      level.braces = { ok, name };
      this.#levels.length = depth + 1;
      return;
    }
    const directive = DIRECTIVE.exec(rest);
    const name = plain((directive?.[1] ?? rest).replace(TIME, ''));
    const inner = this.#levels[depth + 1];
    this.#levels.length = Math.min(this.#levels.length, depth + 1);
    const level = this.#level(depth);
    level.subtest = '';
    level.results++;
    if (directive !== null) {
      const reason = directive[3].replace(TIME, '');
      const why = reason === '' ? `${directive[2].toUpperCase()}, no reason given` : plain(reason);
      this.tally.skipped.push({ what: this.#path(depth, name), reason: why });
    } else {
      this.#verdict(depth, ok, name, inner);
    }
  }

  #closeBraces(depth: number): void {
    const level = this.#level(depth);
    const inner = this.#levels[depth + 1];
    this.#levels.length = Math.min(this.#levels.length, depth + 1);
    level.subtest = '';
    level.results++;
    if (level.braces !== undefined) this.#verdict(depth, level.braces.ok, level.braces.name, inner);
    level.braces = undefined;
  }

  /** An assertion has nothing inside. A subtest without assertions, which passes by not throwing, counts like one. */
  #verdict(depth: number, ok: boolean, name: string, inner: Level | undefined): void {
    if (ok && (inner === undefined || inner.results === 0)) this.tally.passed++;
    if (!ok && (inner === undefined || inner.failures === 0)) this.#fail(depth, name);
  }

  #fail(depth: number, name: string): void {
    this.tally.failed++;
    for (let above = 0; above <= depth; above++) this.#level(above).failures++;
    this.#details = [];
    this.failures.push({ name: this.#path(depth, name), details: this.#details });
  }

  #path(depth: number, name: string): string {
    const above = this.#levels.slice(0, depth).map((level) => level.subtest);
    return [...above, name].filter((part) => part !== '').join(' > ');
  }

  #level(depth: number): Level {
    while (this.#levels.length <= depth) {
      this.#levels.push({ subtest: '', planned: false, results: 0, failures: 0, braces: undefined });
    }
    return this.#levels[depth];
  }
}
