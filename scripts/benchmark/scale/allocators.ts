/**
 * Bytes per stored page for each allocator: a server of its own stores the corpus, and so does zram where there is one, of which
 * mm_stat is read then. Nothing is timed here. Pages that don't compress are kept, as zram does, so that all hold the same pages,
 * but zbud has no room for one: it stores fewer pages, and the report says how many.
 */
import { closeSync, fdatasyncSync, openSync, readSync, writeSync } from 'node:fs';
import { NbdClient } from 'node-nbd-server';
import { servedProgram } from '../../support/served.ts';
import { counter, startOurs } from '../ours.ts';
import { type ZramCounters, zramCounters } from '../procfs.ts';
import type { StartContext } from '../server.ts';
import { claimZram, releaseZram, whyNoZram, ZRAM, zramAlgorithms } from '../zram.ts';
import { type Corpus, openCorpus } from './corpus.ts';
import { PAGE } from './variants.ts';

const ALLOCATORS = [
  { name: 'zsmalloc', incompressible: 'store' },
  { name: 'zbud', incompressible: 'reject' },
  { name: 'z3fold', incompressible: 'store' },
] as const;
/** Our compressor's kind, asked of zram beside what it takes by itself. */
const SAME_KIND = 'zstd';
const PIECE = 64 * 1024;
const MIB = 2 ** 20;

export interface AllocatorRow {
  readonly name: string;
  readonly storedPages: number;
  readonly sameFilledPages: number;
  /** Kept without compression. */
  readonly rawPages: number;
  readonly compressedBytes: number;
  /** Of the allocator's pages. */
  readonly memoryBytes: number;
  /** Beside those, of entries, handles and trees; zram does not count its own. */
  readonly metadataBytes?: number;
}

export interface AllocatorReport {
  readonly corpusPages: number;
  readonly rows: readonly AllocatorRow[];
  /** What could not be had, and why. */
  readonly skipped: readonly string[];
}

/** Undefined when it was interrupted. */
export async function compareAllocators(
  context: StartContext,
  path: string,
  progress: (line: string) => void,
  signal: AbortSignal,
): Promise<AllocatorReport | undefined> {
  const corpus = openCorpus(path);
  const rows: AllocatorRow[] = [];
  for (const allocator of ALLOCATORS) {
    if (signal.aborted) return undefined;
    rows.push(await ofOurs(context, corpus, allocator));
    progress(`corpus in ${allocator.name}: ${rows.at(-1)!.memoryBytes} bytes`);
  }
  const reason = await whyNoZram();
  if (reason !== undefined) return { corpusPages: corpus.pages, rows, skipped: [`zram: ${reason}`] };
  const [own, ...others] = zramAlgorithms();
  const has = own === SAME_KIND || others.includes(SAME_KIND);
  for (const algorithm of new Set([own!, ...(has ? [SAME_KIND] : [])])) {
    if (signal.aborted) return undefined;
    rows.push(ofZram(corpus, algorithm));
    progress(`corpus in zram, ${algorithm}: ${rows.at(-1)!.memoryBytes} bytes`);
  }
  const skipped = has ? [] : [`zram, ${SAME_KIND}: this kernel's zram offers ${[own, ...others].join(', ')}`];
  return { corpusPages: corpus.pages, rows, skipped };
}

async function ofOurs(
  context: StartContext,
  corpus: Corpus,
  { name, incompressible }: (typeof ALLOCATORS)[number],
): Promise<AllocatorRow> {
  const bytes = Math.ceil((corpus.pages * PAGE) / MIB) * MIB;
  const server = await startOurs(
    { ...context, bytes },
    {
      command: [process.execPath, servedProgram(context.root), 'serve'],
      // Room for all of it uncompressed, one object to a page.
      poolBytes: 2 * bytes + MIB,
      settings: [`pool.allocator=${name}`, `pool.incompressible=${incompressible}`],
    },
  );
  try {
    await storeCorpus(server.uri, corpus);
    const stats = await server.stats();
    const of = (key: string): number => counter(stats, key);
    if (of('errors') > 0) throw new Error(`${of('errors')} requests failed with ${name}`);
    return {
      name,
      storedPages: of('stored_pages'),
      sameFilledPages: of('same_filled_pages'),
      rawPages: of('stored_incompressible_pages'),
      compressedBytes: of('compressed_bytes'),
      memoryBytes: of('pool_total_size'),
      metadataBytes: of('metadata_bytes'),
    };
  } finally {
    await server.stop();
  }
}

async function storeCorpus(uri: string, corpus: Corpus): Promise<void> {
  const { pathname, searchParams } = new URL(uri);
  const client = await NbdClient.connect({
    socketPath: searchParams.get('socket') ?? '',
    export: decodeURIComponent(pathname.slice(1)),
  });
  try {
    for (const { offset, bytes } of pieces(corpus)) await client.write(offset, bytes);
  } finally {
    await client.disconnect();
  }
}

function* pieces({ path, pages }: Corpus): Generator<{ readonly offset: number; readonly bytes: Buffer }> {
  const fd = openSync(path, 'r');
  try {
    for (let offset = 0; offset < pages * PAGE; ) {
      const bytes = Buffer.alloc(PIECE);
      const read = readSync(fd, bytes, 0, PIECE, offset);
      if (read === 0) throw new Error(`${path} has become shorter`);
      yield { offset, bytes: bytes.subarray(0, read) };
      offset += read;
    }
  } finally {
    closeSync(fd);
  }
}

function ofZram(corpus: Corpus, algorithm: string): AllocatorRow {
  claimZram(corpus.pages * PAGE, algorithm);
  try {
    const fd = openSync(`/dev/${ZRAM}`, 'r+');
    try {
      for (const { offset, bytes } of pieces(corpus)) {
        const written = writeSync(fd, bytes, 0, bytes.length, offset);
        if (written !== bytes.length) throw new Error(`/dev/${ZRAM} took ${written} bytes of ${bytes.length}`);
      }
      // What is in the page cache alone is in none of zram's counters.
      fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
    return zramRow(algorithm, zramCounters(ZRAM));
  } finally {
    releaseZram();
  }
}

function zramRow(algorithm: string, counters: ZramCounters): AllocatorRow {
  return {
    name: `zram, ${algorithm}`,
    storedPages: counters.origDataSize / PAGE,
    sameFilledPages: counters.samePages,
    rawPages: counters.hugePages,
    compressedBytes: counters.comprDataSize,
    memoryBytes: counters.memUsedTotal,
  };
}
