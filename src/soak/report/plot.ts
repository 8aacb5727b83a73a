/** Plots as inline SVG: lines over time with the phases and the injections of faults as marks, and bars of a histogram. */
import { COLOURS, html } from './style.ts';

const WIDTH = 1000;
const HEIGHT = 190;
const LEFT = 70;
const BOTTOM = 22;
const TOP = 14;
/** Points of a line at most: of more, each column shows the greatest. */
const COLUMNS = 600;

export interface Line {
  readonly name: string;
  readonly points: readonly { readonly t: number; readonly y: number }[];
}

export interface Marks {
  /** Where a phase begins. */
  readonly phases: readonly { readonly t: number; readonly name: string }[];
  readonly faults: readonly { readonly id: string; readonly class: string; readonly times: readonly number[] }[];
}

export function linePlot(title: string, format: (y: number) => string, lines: readonly Line[], marks: Marks): string {
  const shown = lines.filter(({ points }) => points.length > 0);
  if (shown.length === 0) return '';
  const end = Math.max(...shown.map(({ points }) => points.at(-1)!.t), 1e-3);
  const top = Math.max(...shown.flatMap(({ points }) => points.map(({ y }) => y)), 1e-9) * 1.05;
  const x = (t: number): number => LEFT + (Math.max(0, t) / end) * (WIDTH - LEFT - 8);
  const y = (value: number): number => HEIGHT - BOTTOM - (Math.max(0, value) / top) * (HEIGHT - BOTTOM - TOP);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const at = y(top * share).toFixed(1);
    const label = `<text x="${LEFT - 6}" y="${at}" text-anchor="end" dominant-baseline="middle">${html(format(top * share))}</text>`;
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - 8}" y1="${at}" y2="${at}"/>${label}`;
  });
  const seconds = [0, 0.25, 0.5, 0.75, 1].map(
    (share) =>
      `<text x="${x(end * share)}" y="${HEIGHT - 6}" text-anchor="middle">${(end * share).toFixed(0)} s</text>`,
  );
  const paths = shown.map(({ points }, i) => {
    const places = thinned(points).map((one) => `${x(one.t).toFixed(1)},${y(one.y).toFixed(1)}`);
    return `<polyline fill="none" stroke="${COLOURS[i % COLOURS.length]}" stroke-width="1.5" points="${places.join(' ')}"/>`;
  });
  const legend = shown.map(({ name }, i) => `<span style="color:${COLOURS[i % COLOURS.length]}">${html(name)}</span>`);
  return `<figure><figcaption>${html(title)}${legend.join('')}</figcaption><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">${[
    ...grid,
    ...seconds,
    ...markLines(marks, x),
    ...paths,
  ].join('')}</svg></figure>`;
}

/** By the class of a fault. */
const TICKS: Readonly<Record<string, string>> = {
  'must-tolerate': '#888',
  'must-detect': '#dc2626',
  'may-lose': '#d97706',
};

/** A dashed line where a phase begins, and a tick at the top where faults were injected: which, the timeline says. */
function markLines({ phases, faults }: Marks, x: (t: number) => number): string[] {
  const lines = phases.map(
    ({ t, name }) =>
      `<line class="phase" x1="${x(t)}" x2="${x(t)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>` +
      `<text x="${x(t) + 3}" y="${HEIGHT - BOTTOM - 4}">${html(name)}</text>`,
  );
  const ticks = Object.keys(TICKS).map((kind) => {
    const times = faults.filter((fault) => fault.class === kind).flatMap((fault) => fault.times);
    return tickPath(times, x, 1, TOP - 3, TICKS[kind]);
  });
  return [...lines, ...ticks];
}

/** One tick per pixel. */
function tickPath(times: readonly number[], x: (t: number) => number, y: number, tall: number, colour: string): string {
  const columns = [...new Set(times.map((t) => Math.round(x(t))))];
  const path = columns.map((column) => `M${column} ${y}v${tall}`).join('');
  return path === '' ? '' : `<path d="${path}" stroke="${colour}" stroke-width="1"/>`;
}

const ROW = 14;
const NAMES = 190;

/** When each fault was injected: a row of ticks for each. */
export function timeline({ faults, phases }: Marks, end: number): string {
  if (faults.length === 0) return '';
  const height = faults.length * ROW + BOTTOM;
  const x = (t: number): number => NAMES + (Math.max(0, t) / Math.max(end, 1e-3)) * (WIDTH - NAMES - 8);
  const rows = faults.map(({ id, times, class: kind }, i) => {
    const ticks = tickPath(times, x, i * ROW + 2, ROW - 4, TICKS[kind] ?? '#888');
    return `<text x="${NAMES - 8}" y="${i * ROW + ROW / 2}" text-anchor="end" dominant-baseline="middle">${html(id)}</text>${ticks}`;
  });
  const seconds = [0, 0.25, 0.5, 0.75, 1].map(
    (share) =>
      `<text x="${x(end * share)}" y="${height - 6}" text-anchor="middle">${(end * share).toFixed(0)} s</text>`,
  );
  const lines = phases.map(({ t }) => `<line class="phase" x1="${x(t)}" x2="${x(t)}" y1="0" y2="${height - BOTTOM}"/>`);
  const legend = Object.entries(TICKS).map(([kind, colour]) => `<span style="color:${colour}">${kind}</span>`);
  return `<figure><figcaption>Injections${legend.join('')}</figcaption><svg viewBox="0 0 ${WIDTH} ${height}" role="img">${[...lines, ...rows, ...seconds].join('')}</svg></figure>`;
}

function thinned(points: Line['points']): Line['points'] {
  if (points.length <= COLUMNS) return points;
  return Array.from({ length: COLUMNS }, (_, column) => {
    const from = Math.floor((column * points.length) / COLUMNS);
    const part = points.slice(from, Math.floor(((column + 1) * points.length) / COLUMNS));
    return part.reduce((most, one) => (one.y > most.y ? one : most));
  });
}

/** Bars over a logarithmic axis of microseconds. */
export function histogramPlot(title: string, rows: readonly { from: number; to: number; count: number }[]): string {
  if (rows.length === 0) return '';
  const most = Math.max(...rows.map(({ count }) => count));
  const first = Math.log2(Math.max(1, rows[0].from));
  const last = Math.log2(rows.at(-1)!.to + 1) + 1e-9;
  const x = (us: number): number => LEFT + ((Math.log2(Math.max(1, us)) - first) / (last - first)) * (WIDTH - LEFT - 8);
  const height = HEIGHT / 2;
  const bars = rows.map(({ from, to, count }) => {
    const tall = Math.max(0.5, (Math.log1p(count) / Math.log1p(most)) * (height - BOTTOM - 4));
    const wide = Math.max(0.7, x(to + 1) - x(from) - 0.3);
    return `<rect x="${x(from).toFixed(1)}" y="${(height - BOTTOM - tall).toFixed(1)}" width="${wide.toFixed(1)}" height="${tall.toFixed(1)}" fill="${COLOURS[0]}"><title>${from} to ${to} µs: ${count}</title></rect>`;
  });
  const labels: string[] = [];
  for (let us = 1; us <= 2 ** 32; us *= 10) {
    if (Math.log2(us) < first - 0.01 || Math.log2(us) > last) continue;
    labels.push(
      `<text x="${x(us)}" y="${height - 6}" text-anchor="middle">${us < 1000 ? `${us} µs` : us < 1e6 ? `${us / 1000} ms` : `${us / 1e6} s`}</text>`,
    );
  }
  const total = rows.reduce((sum, { count }) => sum + count, 0);
  return `<figure><figcaption>${html(title)}<span>${total} requests; the height is the logarithm of their number</span></figcaption><svg viewBox="0 0 ${WIDTH} ${height}" role="img">${bars.join('')}${labels.join('')}</svg></figure>`;
}
