/**
 * The plan that a soak applies: that of its caller, or what a planned break needs to be seen. Beside a server that is strict
 * stands a witness, a fault that does nothing but count how often the image is synced: a FLUSH that was answered without a
 * sync would else be seen by nobody as long as the machine stays up.
 */
import { type ParseError, parse } from 'jsonc-parser';
import { type Row, rowsOf } from './control.ts';
import type { SoakOptions } from './options.ts';

export const WITNESS = 'sync-witness';
/** Of the loads of a pool whose checksums are not compared, so many in per cent get a flipped bit. */
const FLIPS_PERCENT = 0.5;
/** As the server reads it (config/source.ts). */
const JSONC = { allowTrailingComma: true };

export interface Plan {
  readonly text: string;
  /** Faults that were asked for, without the witness. */
  readonly declared: number;
  readonly witnessed: boolean;
}

export function planOf(o: SoakOptions, strict: boolean): Plan | null {
  const mistakes: ParseError[] = [];
  const asked: Row = o.faults === undefined ? {} : ((parse(o.faults.text, mistakes, JSONC) as Row | undefined) ?? {});
  const faults = [...rowsOf(asked, 'faults')];
  // A plan that is no list of faults is for the server to refuse, and not to be read as far as it goes.
  if (o.faults !== undefined && (mistakes.length > 0 || faults.length === 0)) {
    return { text: o.faults.text, declared: 0, witnessed: false };
  }
  if (o.break === 'checksum' && o.faults === undefined) {
    const when = { probability: FLIPS_PERCENT };
    faults.push({ id: 'flips', site: 'pool.object', action: 'flip', class: 'must-detect', when, verbose: 0 });
  }
  const declared = faults.length;
  const witnessed = strict && faults.every(({ site }) => site !== 'image.sync');
  if (witnessed) {
    const wait = { with: { latency: '0ms' }, class: 'must-tolerate', verbose: 0 };
    faults.push({ id: WITNESS, site: 'image.sync', action: 'latency', ...wait });
  }
  if (faults.length === 0) return null;
  // What was asked for goes to the server as it is, with its comments and line numbers, where nothing is added to it.
  const text =
    o.faults !== undefined && !witnessed ? o.faults.text : JSON.stringify({ seed: o.seed, ...asked, faults });
  return { text, declared, witnessed };
}

/** The plan without those that end the process, for the server that comes after it. */
export function planAfterKill({ text }: Plan): string {
  const plan = parse(text) as Row;
  return JSON.stringify({
    ...plan,
    faults: rowsOf(plan, 'faults').filter((row) => !endsProcess(String(row.site), String(row.action))),
  });
}

/** Whether the process is expected to end by such a fault. */
export function endsProcess(site: string, action: string): boolean {
  return site === 'process.kill' || (site === 'process.lane' && action === 'crash');
}
