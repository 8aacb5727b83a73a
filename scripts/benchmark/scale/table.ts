/** The report of `--scale` as text, to be pasted as it is. */
import { fixed, layOut, thousands } from '../table.ts';
import type { AllocatorRow } from './allocators.ts';
import type { ScaleReport, ScaleRow, SpeedFigure } from './report.ts';

const SPEED_HEAD = [
  ...['', 'writes/s', 'min..max', 'ratio', 'p99 µs', 'reads/s', 'min..max', 'ratio', 'p99 µs', 'MiB resident'],
  'B/page',
];

const spread = ([least, most]: readonly [number, number]): string => `${thousands(least)}..${thousands(most)}`;

function speedCells({ median, range, ratio, p99 }: SpeedFigure): string[] {
  return [thousands(median), spread(range), fixed(ratio, 2), fixed(p99, 0)];
}

function rowCells(row: ScaleRow): string[] {
  const memory = [fixed(row.residentBytes / 2 ** 20, 0), fixed(row.metadataBytesPerPage, 1)];
  return [`  ${row.title}`, ...speedCells(row.write), ...speedCells(row.read), ...memory];
}

function ownerSection({ rows }: ScaleReport): string[] {
  const lines = rows.flatMap(({ title, owners }) =>
    owners === undefined
      ? []
      : [
          [
            `  ${title}`,
            thousands(owners.perSecond.median),
            spread(owners.perSecond.range),
            fixed(owners.bytesPerChange, 1),
          ],
        ],
  );
  return ['', 'Owner changes of stored pages', ...layOut([['', 'changes/s', 'min..max', 'B/change'], ...lines])];
}

const ALLOCATOR_HEAD = [
  ...[
    '',
    'stored pages',
    'same-filled',
    'raw',
    'compressed B/page',
    'memory B/page',
    'with metadata',
    'metadata B/page',
  ],
  'memory ÷ compressed',
];

function allocatorCells(row: AllocatorRow): string[] {
  const perPage = (bytes: number | undefined, digits = 0): string =>
    fixed(bytes === undefined ? undefined : bytes / row.storedPages, digits);
  const whole = row.metadataBytes === undefined ? undefined : row.memoryBytes + row.metadataBytes;
  return [
    `  ${row.name}`,
    thousands(row.storedPages),
    thousands(row.sameFilledPages),
    thousands(row.rawPages),
    perPage(row.compressedBytes),
    perPage(row.memoryBytes),
    perPage(whole),
    perPage(row.metadataBytes, 1),
    fixed(row.memoryBytes / row.compressedBytes, 3),
  ];
}

function allocatorSection({ allocators }: ScaleReport): string[] {
  if (allocators === undefined) {
    return [
      '',
      'Bytes per stored page: not measured, it needs pages of a guest. They are taken by',
      '  ./scripts/bench --scale --take-corpus FILE',
      'and then stored by',
      '  ./scripts/bench --scale --corpus FILE',
    ];
  }
  const { corpusPages, rows, skipped } = allocators;
  return [
    '',
    `Bytes per stored page, of ${thousands(corpusPages)} pages that a guest had swapped out`,
    ...layOut([ALLOCATOR_HEAD, ...rows.map(allocatorCells)]),
    ...skipped.map((reason) => `skipped ${reason}`),
  ];
}

function floorSection({ spread, wanted }: ScaleReport): string[] {
  const line = (what: string, measured: number): string[] => [
    `  ${what}: fastest row ÷ slowest`,
    fixed(measured, 2),
    `≤ ${wanted}`,
    measured <= wanted ? 'met' : 'NOT MET',
  ];
  const lines = [line('4 KiB random write', spread.write), line('4 KiB random read', spread.read)];
  return ['', 'Floors', ...layOut([['', 'measured', 'wanted', ''], ...lines])];
}

const NOTES = [
  '',
  "ratio: over the first row. p99: of fio's jobs, one on each export. MiB resident: the server's, with the pages that it holds.",
  'B/page: metadata (entries, handles, trees) per stored page; what memcgs take is in the resident memory alone. depth: folders from',
  "the guest's root to a memcg. Owner changes: an agent says of stored pages that they are another memcg's, batch after batch;",
  "the server's counter and the agent's agree. B/change: of whole batches.",
  'compressed, memory: of the allocator, or compr_data_size and mem_used_total of mm_stat, which has no count of its slot table.',
  'raw: pages that do not compress, kept as they are; a page that an allocator can not hold is not stored.',
];

export function renderScale(report: ScaleReport): string {
  const mib = Math.round(report.dataBytes / 2 ** 20);
  return [
    report.machine,
    `${report.repeat} repetitions of ${report.seconds} s, interleaved, medians; two exports, ${mib} MiB of pages that are 60 % zeros on each, spread`,
    "over it in clusters of 2 MiB; fio's nbd engine with a connection and depth 8 on each at the same time, unix socket",
    '',
    ...layOut([SPEED_HEAD, ...report.rows.map(rowCells)]),
    ...ownerSection(report),
    ...allocatorSection(report),
    ...floorSection(report),
    ...NOTES,
  ].join('\n');
}
