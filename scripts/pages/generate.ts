/** All pages, by file name. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Engine } from '#src/explore/engine.js';
import { blamedOn } from './blame.ts';
import { readCosts } from './cost.ts';
import { indexPage } from './index_page.ts';
import { blamedOnPages, LRU_PAGE, LRU_SOURCE, lruPage } from './lru_page.ts';
import { protocolPage } from './protocol_page.ts';
import { Traces } from './shortest.ts';
import { SUBJECTS, type Subject } from './subjects.ts';

/** Beside the source of this file. */
const COSTS = fileURLToPath(new URL('../../../scripts/pages/costs.json', import.meta.url));

/** `folder`: src/protocols. */
export async function generatePages(engine: Engine, folder: string): Promise<Map<string, string>> {
  const sourceOf = (subject: Subject): string => readFileSync(join(folder, subject.source), 'utf8');
  const costs = readCosts(COSTS);
  const traces = new Traces(engine);
  const pages = new Map([['README.md', indexPage(sourceOf)]]);
  for (const subject of SUBJECTS) {
    const shortest = await traces.shortest(blamedOn(subject));
    pages.set(subject.page, protocolPage({ subject, source: sourceOf(subject), traces: shortest, costs }));
  }
  const source = readFileSync(join(folder, LRU_SOURCE), 'utf8');
  pages.set(LRU_PAGE, lruPage(source, await traces.shortest(blamedOnPages())));
  return pages;
}
