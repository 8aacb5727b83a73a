/**
 * A soak from its start to its last line: a server, the driver on it, a sample each second, and two phases. In the first one
 * faults are injected, and nothing may be wrong; then they are cleared, and everything has to work again. After that all is
 * read back, the faults are accounted for, and the verdict is made.
 */
import { rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { EXIT, ExitError, errorText } from '../os/exit_error.ts';
import { claimFolder } from './folder.ts';
import { type Finding, judge } from './judge.ts';
import type { SoakOptions, Surroundings } from './options.ts';
import { writeReport } from './report/report.ts';
import { Series } from './series.ts';
import { Session } from './session.ts';
import type { Verdict } from './verdict.ts';

const SERIES_NAME = 'soak.jsonl';
const LOG_NAME = 'server.log';
const REPORT_NAME = 'report.html';

export interface SoakResult {
  readonly verdict: Verdict;
  readonly line: string;
}

export async function soak(o: SoakOptions, around: Surroundings): Promise<SoakResult> {
  const folder = claimFolder(o.report);
  const series = openSeries(folder, around.tell);
  const session = new Session(o, around, folder, series);
  try {
    await session.begin();
  } catch (error) {
    await session.abandon();
    series.close();
    for (const name of [SERIES_NAME, LOG_NAME]) rmSync(join(folder, name), { force: true });
    rmdirSync(folder);
    throw error;
  }
  around.tell(`seed ${o.seed}; time series: ${series.path}; again: ${o.again}`);
  await session.run();
  const finding = judge(session);
  for (const { name, value, text } of finding.checks) {
    if (value === 'false' || value === 'unknown' || name.startsWith('break: '))
      around.tell(`${value}: ${name}: ${text}`);
  }
  const path = join(folder, REPORT_NAME);
  const report = writeReport(path, session, finding, around.tell) ? path : 'none';
  series.add({
    type: 'end',
    t: session.sampler.seconds,
    ...finding.counts,
    verdict: finding.verdict,
    checks: finding.checks,
    faults: finding.accounts.rows.map((row) => ({ ...row, ...finding.availability.get(row.id) })),
  });
  series.close();
  return { verdict: finding.verdict, line: lastLine(finding, report) };
}

function lastLine({ verdict, counts }: Finding, report: string): string {
  const { wrong, lost, leaked, unaccounted } = counts;
  return `soak: ${verdict} wrong=${wrong} lost=${lost} leaked=${leaked} unaccounted=${unaccounted} report=${report}`;
}

function openSeries(folder: string, tell: (line: string) => void): Series {
  try {
    return new Series(join(folder, SERIES_NAME), tell);
  } catch (error) {
    const allowed = 'allowed: a folder that can be written to';
    throw new ExitError(EXIT.usage, `--report: ${folder}: ${errorText(error)}, ${allowed}`, { cause: error });
  }
}
