// The matrix as text: one line per combination, one column per scenario; and what each found, in its shortest form.
// Invariant: a combination whose line is all dots was tried in every schedule up to the bound.
import { type Matrix, matrixRows } from '../explore/matrix.ts';
import { misfit } from '../explore/search/misfit.ts';

/** One sign per verdict, so that the table fits a screen. */
export const SIGNS: Readonly<Record<string, string>> = {
  clean: '.',
  leak: 'L',
  'stale data': 'S',
  'lost data': 'X',
  'use after free': 'U',
  'double free': 'F',
  'double unlink': 'D',
  deadlock: 'K',
  livelock: 'V',
  'stranded page': 'P',
  'data race': 'R',
  'late store': 'T',
};

/** A replay string where --replay takes it: not of a cell whose scenario does not fit, which finds what another one is for. */
export function withReplays(matrix: Matrix): Matrix {
  const explored = matrix.explored.map((one) =>
    misfit(one.scenario, one.combination) === null ? one : { ...one, replay: '' },
  );
  return { ...matrix, explored };
}

export function formatMatrix(matrix: Matrix): string {
  const rows = matrixRows(matrix);
  const scenarios = [...new Set(matrix.explored.map(({ scenario }) => scenario))];
  const schedules = matrix.explored.reduce((sum, one) => sum + one.schedules, 0);
  const width = Math.max(...rows.map(({ combination }) => combination.length));
  const signs = Object.entries(SIGNS).map(([verdict, sign]) => `${sign} ${verdict}`);
  const partial = matrix.explored.filter(({ complete }) => !complete).length;
  const found = matrix.explored
    .filter(({ replay }) => replay !== '')
    .map((one) => `${one.scenario}: ${one.verdict}: ${one.text}\n  ${one.replay}`);
  return [
    `${rows.length} combinations, ${scenarios.length} scenarios, ${matrix.explored.length} distinct cells, ` +
      `${schedules} schedules with at most ${matrix.bound} preemptions${partial === 0 ? '' : `; ${partial} cells cut short`}`,
    signs.join('   '),
    scenarios.map((name, i) => `${i + 1} ${name}`).join('   '),
    '',
    ...rows.map(({ combination, verdicts }) => {
      const cells = scenarios.map((name, i) => (SIGNS[verdicts[name]] ?? '?').padStart(String(i + 1).length));
      return `${combination.padEnd(width)}  ${cells.join(' ')}`;
    }),
    '',
    ...found,
    '',
  ].join('\n');
}
