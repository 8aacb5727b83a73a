/**
 * The report of a soak: one HTML file that needs nothing else, not even the network. It says what was claimed and tested,
 * what was found, and what that does not mean.
 */
import { linkSync, rmSync, writeFileSync } from 'node:fs';
import { errorText } from '../../os/exit_error.ts';
import type { Finding } from '../judge.ts';
import { WITNESS } from '../plan.ts';
import { provenance } from '../provenance.ts';
import type { Session } from '../session.ts';
import type { Marks } from './plot.ts';
import { checksSection, faultsSection, operationsSection, plotsSection, wrongSection } from './sections.ts';
import { html, STYLE } from './style.ts';
import { table } from './tables.ts';

const CLAIM =
  'No READ that succeeds brings other bytes than those that were acknowledged last, whatever faults are injected; where the ' +
  'bytes are gone or damaged, it is an error. Once the faults are cleared, everything works again.';

const LIMITS = [
  '"None found" is what a run can say; nothing is proved. Other schedules, sizes and machines may show what this one did not.',
  'What one seed decides is what is sent and what is injected, not when: threads and disks have their own time, so a second run is alike, and not the same.',
  'A power failure is not part of it: a server is killed, and the page cache of the host stays.',
  'Errors are put down to a fault by slot and time (1.5 s), so one that had another cause at the same place and time is not told apart.',
  'A fault whose page was overwritten, or was right when it was read, counts as tolerated, whatever its class.',
];

/** False where it can't be written, which is told; the time series is there all the same. */
export function writeReport(path: string, session: Session, finding: Finding, tell: (line: string) => void): boolean {
  const part = `${path}.part`;
  try {
    writeFileSync(part, reportOf(session, finding), { flag: 'wx', mode: 0o600 });
    // Not a rename, which would replace what is there.
    linkSync(part, path);
    rmSync(part);
    return true;
  } catch (error) {
    rmSync(part, { force: true });
    tell(`${path}: the report could not be written: ${errorText(error)}; the time series: ${session.series.path}`);
    return false;
  }
}

function reportOf(session: Session, finding: Finding): string {
  const { verdict, counts } = finding;
  const figures = Object.entries(counts).map(([name, value]) => `${name} ${value}`);
  const body = [
    `<h1>zswapd soak</h1><p class="verdict ${verdict}">${verdict}</p><p>${html(figures.join(' · '))}</p>`,
    `<h2>The claim</h2><p>${html(CLAIM)}</p>`,
    checksSection(finding),
    faultsSection(finding),
    wrongSection(session),
    operationsSection(session),
    plotsSection(session, marksOf(session)),
    runSection(session),
    `<h2>Limits</h2><ul>${LIMITS.map((limit) => `<li>${html(limit)}</li>`).join('')}</ul>`,
  ];
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>zswapd soak: ${verdict}</title><style>${STYLE}</style></head><body>${body.join('\n')}</body></html>\n`;
}

function runSection({ options, settings, watch, plan, sampler, series, control, load }: Session): string {
  const where = provenance();
  const rows = [
    ...Object.entries(where),
    ['device', options.uri ?? 'a server of its own'],
    ['size used', `${load.slots} slots`],
    ['time', `${options.ms / 1000} s wanted, ${sampler.seconds.toFixed(1)} s with the reading back`],
    ['seed', String(options.seed)],
    ['seed of the faults', String(watch?.seed ?? 'no faults')],
    ['digest of the plan', String(watch?.plan ?? 'no plan')],
    ['settings', settings.join(' ')],
    ['time series', series.path],
    [
      'unanswered questions to the server',
      control === null ? 'nobody was asked' : `${sampler.silent} ${sampler.silentWhy}`,
    ],
  ];
  const shown = plan === null ? '' : `<h2>The plan</h2><pre>${html(plan.text)}</pre>`;
  const again = `<h2>Run it again</h2><pre>${html(options.again)}</pre>`;
  return `<h2>The run</h2>${table([{ name: '' }, { name: '' }], rows)}${again}${shown}`;
}

function marksOf({ watch, sampler, clearedMs }: Session): Marks {
  const phases = clearedMs === 0 ? [] : [{ t: sampler.at(clearedMs), name: 'healed' }];
  // What only counts is no fault.
  const rows = (watch?.rows ?? []).filter(({ id }) => id !== WITNESS);
  const faults = rows.map(({ id, class: kind }) => {
    const times = [...(watch?.marks.get(id) ?? [])].map((ms) => sampler.at(ms));
    return { id, class: kind, times };
  });
  return { phases, faults };
}
