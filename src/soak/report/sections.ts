/** The sections of a report, each a heading with a table, a text or plots. */
import type { Availability } from '../availability.ts';
import type { Finding } from '../judge.ts';
import { KINDS } from '../ledger.ts';
import type { Sample } from '../sampler.ts';
import type { Session } from '../session.ts';
import { histogramPlot, type Line, linePlot, type Marks, timeline } from './plot.ts';
import { html } from './style.ts';
import { count, numeric, table } from './tables.ts';

const SHOWN = 50;

export function checksSection({ checks }: Finding): string {
  const rows = checks.map(({ name, value, text }) => [name, { html: `<b class="${value}">${value}</b>` }, text]);
  return `<h2>Checks</h2>${table([{ name: 'check' }, { name: 'value' }, { name: 'what was seen' }], rows)}`;
}

export function operationsSection({ load: { ledger } }: Session): string {
  const rows = KINDS.map((kind) => {
    const { ok, failed, unanswered, bytes } = ledger.tallies[kind];
    const { p50, p90, p99, p999, max } = ledger.latencies[kind].latency;
    return [kind, ok, failed, unanswered, bytes / 1e6, p50, p90, p99, p999, max];
  });
  const head = [
    { name: 'operation' },
    ...numeric('ok', 'failed', 'unanswered', 'MB', 'p50 µs', 'p90', 'p99', 'p99.9', 'max'),
  ];
  const text =
    `${count(ledger.verified)} pages were held against what was written. ${count(ledger.connections)} connections, ` +
    `${count(ledger.reconnects)} of them after a loss; ${count(ledger.cuts)} were cut on purpose with requests under way.`;
  return `<h2>Operations by outcome</h2>${table(head, rows)}<p>${text}</p>`;
}

export function faultsSection({ accounts, availability }: Finding): string {
  const rows = accounts.rows.map((row) => [
    ...[row.id, `${row.site} ${row.action}`, row.class, row.armed ? 'yes' : 'no', row.reached, row.injected],
    ...[row.detected, row.tolerated, row.unaccounted, ...availabilityCells(availability.get(row.id))],
  ]);
  const columns = [{ name: 'fault' }, { name: 'site' }, { name: 'class' }, { name: 'armed' }];
  const head = [
    ...columns,
    ...numeric('reached', 'injected', 'detected', 'tolerated', 'unaccounted', 'answered %', 'longest gap s'),
  ];
  const unexplained = accounts.unexplained
    .slice(0, SHOWN)
    .map(({ text, slot, link, phase }) => [text, slot, link, phase]);
  const errors =
    accounts.unexplainedCount === 0
      ? ''
      : `<p>${accounts.unexplainedCount} errors of the client that no fault explains:</p>` +
        table([{ name: 'error' }, ...numeric('slot', 'connection'), { name: 'phase' }], unexplained);
  const text =
    'Answered: of the requests that ended while the fault was there, those that succeeded; and the longest time without one that ' +
    'did. Times are by the second, and other faults were there as well.';
  return `<h2>Faults</h2>${table(head, rows)}<p>${text}</p>${errors}`;
}

function availabilityCells(one: Availability | undefined): (string | number)[] {
  if (one === undefined || one.answered === null) return ['-', '-'];
  return [(one.answered * 100).toFixed(2), (one.longestGapMs / 1000).toFixed(2)];
}

export function wrongSection({ load: { ledger }, sampler, unreadable }: Session): string {
  const kinds = new Map<string, number>();
  for (const { kind } of ledger.wrong) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  const sorts = [...kinds].map(([kind, n]) => `${kind}: ${n}`).join(', ');
  const rows = ledger.wrong.slice(0, SHOWN).map(({ ms, phase, kind, text }) => [sampler.at(ms), phase, kind, text]);
  const head = [...numeric('at s'), { name: 'phase' }, { name: 'kind' }, { name: 'what was read' }];
  const summary = `<p>${sorts === '' ? 'None found.' : html(sorts)} ${unreadable.length} slots could not be read in the end.</p>`;
  return `<h2>Wrong and lost pages</h2>${summary}${rows.length === 0 ? '' : table(head, rows)}`;
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 24 ? 1 : 0)} MiB`;
const whole = (value: number): string =>
  value >= 10_000 ? `${(value / 1000).toFixed(0)}k` : value.toFixed(value < 10 ? 1 : 0);
const micros = (us: number): string => (us < 1000 ? `${us.toFixed(0)} µs` : `${(us / 1000).toFixed(1)} ms`);

export function plotsSection({ sampler: { samples }, load: { ledger } }: Session, marks: Marks): string {
  const line = (name: string, of: (sample: Sample) => number | undefined): Line => ({
    name,
    points: samples.flatMap((sample) => {
      const y = of(sample);
      return y === undefined ? [] : [{ t: sample.t, y }];
    }),
  });
  const stat = (name: string): Line => line(name.replace(/^pool\./, ''), ({ stats }) => stats?.[name]);
  const memcgs = [...new Set(samples.flatMap(({ stats }) => Object.keys(stats ?? {})))].filter((name) =>
    name.startsWith('memcg.'),
  );
  const rejects = Object.keys(samples.findLast(({ stats }) => stats !== null)?.stats ?? {}).filter(
    (name) =>
      /^pool\.(?:reject_|.*_errors|.*_fail|checksum|lost_)/.test(name) &&
      samples.some(({ stats }) => (stats?.[name] ?? 0) > 0),
  );
  const plots = [
    linePlot('requests per second', whole, [line('all', (s) => s.opsPerSecond)], marks),
    linePlot('bytes per second', mib, [line('all', (s) => s.bytesPerSecond)], marks),
    linePlot(
      'latency of READ',
      micros,
      [line('p50', (s) => s.latencies.read?.p50), line('p99', (s) => s.latencies.read?.p99)],
      marks,
    ),
    linePlot(
      'latency of WRITE',
      micros,
      [line('p50', (s) => s.latencies.write?.p50), line('p99', (s) => s.latencies.write?.p99)],
      marks,
    ),
    linePlot(
      'errors that the client got',
      whole,
      [line('errors', (s) => s.troubles), line('wrong pages', (s) => s.wrong)],
      marks,
    ),
    linePlot('pool', mib, [stat('pool.pool_total_size'), stat('pool.compressed_bytes')], marks),
    linePlot(
      'pages',
      whole,
      [stat('pool.stored_pages'), stat('pool.written_back_pages'), stat('pool.image_reads')],
      marks,
    ),
    linePlot('bytes by memcg', mib, memcgs.slice(0, 8).map(stat), marks),
    linePlot('rejects and errors of the server', whole, rejects.slice(0, 8).map(stat), marks),
    linePlot(
      'memory',
      mib,
      [
        line('RSS of the server', (s) => s.server?.rss),
        line('heap of the lanes', (s) => s.stats?.['pool.heap_used_bytes']),
        line('RSS of the soak', (s) => s.own.rss),
        line('heap of the soak', (s) => s.own.heap),
      ],
      marks,
    ),
    linePlot('processors, taken by others, %', whole, [line('others', (s) => s.others)], marks),
    linePlot('descriptors', whole, [line('server', (s) => s.server?.fds), line('soak', (s) => s.own.fds)], marks),
    linePlot(
      'garbage collection, ms in all',
      whole,
      [line('lanes', (s) => s.stats?.['lanes.gc_ms']), line('soak', (s) => s.own.gcMs)],
      marks,
    ),
  ];
  const histograms = KINDS.map((kind) => histogramPlot(`latency of ${kind}`, ledger.latencies[kind].rows()));
  return `<h2>Over time</h2>${timeline(marks, samples.at(-1)?.t ?? 0)}${plots.join('')}<h2>Latency by command</h2>${histograms.join('')}`;
}
