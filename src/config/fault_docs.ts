// The reference of fault plans, config/faults/README.md, from the declaration of sites (faults/sites.ts).
import { type Action, type Extra, SITE_NAMES, siteOf } from '../faults/sites.ts';

const HEAD = `# Fault plans

The tables are generated from \`src/faults/sites.ts\` by \`node dist/config/docs.js --write\`. Do not edit.

A plan says what goes wrong on purpose in a running server, when, and what the server claims to make of it. It is for tests: each
fault has one place in the code, at the seam it belongs to, and without a plan it costs nothing that could be measured: 13.2 µs of
processor time for a random write of 4 KiB, and 6.3 for a read, where the version before had 13.1 and 6.3 (medians of six
interleaved runs, fio's nbd engine at depth 16, one lane, everything in the pool; single runs spread from 12.8 to 16.7 and from 6.0 to 7.2).

\`\`\`sh
zswapd fault apply config/faults/standard.jsonc   # in place of the plan before; all of it or, if anything is wrong with it, nothing
zswapd fault list                                 # how often each was reached, matched and injected; --json: with the events
zswapd fault clear                                # ends all of them: what hangs goes on
zswapd serve --set faults=plan.jsonc              # in force from the start on
\`\`\`

\`\`\`jsonc
{
  "seed": 1,                             // decides everything that is drawn
  "faults": [{
    "id": "slow-disk",                   // unique in the plan; site#index unless given
    "site": "image.write", "action": "latency", "with": { "latency": "20ms" },
    "class": "must-tolerate",            // the action's own unless given, or a looser one
    "match": { "export": "swap0", "slots": "0-1023" },
    "when": { "probability": 0.5 },
    "at": "30s", "for": "10s",           // from when the plan was applied; at once and for ever unless given
    "verbose": 0                         // 0: counted only; 1: a line of the log too, ten each quarter of a second
  }]
}
\`\`\`

**Classes**: \`must-tolerate\` (the client sees nothing), \`must-detect\` (an error, never wrong data), \`may-lose\` (what is stated may be
lost). **When** is the kernel's (\`lib/fault-inject.c\`): of the matches, those that \`space\` lets through (one less than it says, as there),
of these each \`interval\`-th, of these so many per cent as \`probability\` says (from 1e-6), and no more than \`times\`; \`nth\` is the match
with that number and no other, as \`/proc/<pid>/fail-nth\`. Whether the n-th match fails is decided by seed, id and n, so the same
requests in the same order meet the same faults.

**Refused**, with file, line and column: unknown names, times out of bounds, a class that is too strict, filters that a site knows
nothing of, exports, slots, lanes and threads that the config does not have, what only checksums would notice where
\`pool.checksums\` is off, and two faults of a site of which one call could meet both although only one can happen: give them other
times, or other exports, slots, connections or commands. A plan has at most 256 faults, and over the control socket 64 KiB.

\`/v1/faults\` of the control socket: GET (\`?after=N\`: with the events behind number N), POST (a plan; 400 and a line for each thing that
is wrong), DELETE, after which \`?after=N\` tells the rest of the plan that was, until the next one. The last 65,536 events are kept (3.3 MB while a plan is in force), with number, id, time, export, slots and connection;
\`eventsLost\` counts those that are gone. Times are milliseconds of the server's monotonic clock, of which \`now\` is the present and
\`sinceMs\` when the plan was applied.

A call counts as *reached* while its fault is active and has something to work on there, as *matched* where the filters are met, and
as *injected* when it happened. A stop does not end a plan: what hangs has to be cleared. process.* faults happen by themselves: each thread looks ten times a second, and they happen once unless
\`times\` says otherwise.

## Sites
`;

export function faultReference(): string {
  return HEAD + SITE_NAMES.map(describe).join('');
}

function describe(name: (typeof SITE_NAMES)[number]): string {
  const { filters, actions, threads } = siteOf(name);
  const known = filters.length === 0 ? 'no filters' : `filters: ${filters.join(', ')}`;
  const needs = threads === true ? '; not with `lanes: 0`' : '';
  const rows = Object.entries(actions).map(([action, one]) => `| \`${action}\` | ${classOf(one)} | ${said(one)} |\n`);
  return `\n### ${name}\n\n${known}${needs}\n\n| action | class | |\n|---|---|---|\n${rows.join('')}`;
}

function classOf({ class: usual, strictest, bySums }: Action): string {
  const least = strictest === usual ? '' : `, at most ${strictest}`;
  return `${usual}${least}${bySums === true ? ' (by checksums)' : ''}`;
}

function said({ about, with: extras = {}, together, ends }: Action): string {
  const takes = Object.entries(extras).map(([name, extra]) => `\`${name}\`: ${extraOf(extra)}`);
  const also = [
    ...(together === true ? ['beside any other of the site'] : []),
    ...(ends === true ? ['needs a `for`'] : []),
    ...takes,
  ];
  return [about, ...also].join('; ');
}

function extraOf({ about, default: usual }: Extra): string {
  return usual === undefined ? `${about} (required)` : `${about} (${JSON.stringify(usual)})`;
}
