/** All pages, by file name. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Engine } from '#src/explore/engine.js';
import { type Blamed, blamedOn } from './blame.ts';
import { readCosts } from './cost.ts';
import { indexPage } from './index_page.ts';
import { blamedOnPages, LRU_PAGE, LRU_SOURCE, lruPage } from './lru_page.ts';
import { protocolPage } from './protocol_page.ts';
import { type Shortest, Traces } from './shortest.ts';
import { shownTraces } from './shown.ts';
import { SUBJECTS, type Subject } from './subjects.ts';

/** Beside the source of this file. */
const COSTS = fileURLToPath(new URL('../../../scripts/pages/costs.json', import.meta.url));

/**
 * `folder`: src/protocols. `search`: the shortest traces are searched for, also where the page that is there shows some that
 * still come to what they are shown for.
 */
export async function generatePages(engine: Engine, folder: string, search: boolean): Promise<Map<string, string>> {
  const sourceOf = (subject: Subject): string => readFileSync(join(folder, subject.source), 'utf8');
  const costs = readCosts(COSTS);
  const traces = new Traces(engine);
  const tracesOf = async (page: string, blamed: readonly Blamed[]): Promise<Map<string, Shortest>> => {
    const path = join(folder, page);
    const shown = search || !existsSync(path) ? null : await shownTraces(engine, readFileSync(path, 'utf8'), blamed);
    return shown ?? (await traces.shortest(blamed));
  };
  const pages = new Map([['README.md', indexPage(sourceOf)]]);
  for (const subject of SUBJECTS) {
    const shortest = await tracesOf(subject.page, blamedOn(subject));
    pages.set(subject.page, protocolPage({ subject, source: sourceOf(subject), traces: shortest, costs }));
  }
  const source = readFileSync(join(folder, LRU_SOURCE), 'utf8');
  pages.set(LRU_PAGE, lruPage(source, await tracesOf(LRU_PAGE, blamedOnPages())));
  return pages;
}
