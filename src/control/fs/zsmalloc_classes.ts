/**
 * /debug/zsmalloc/classes, with the kernel's columns: per size class its zspages by how full they are, objects, pages, and the
 * pages that compaction would free. Read without locks, as the counters are: zspages that change hands meanwhile are seen
 * here or there.
 */
import { CLASSES, ZSPAGE_BYTES } from '../../pool/allocator/size_classes.ts';
import { FULL, GROUPS, type Zsmalloc } from '../../pool/allocator/zsmalloc.ts';
import { PAGE_SIZE } from '../../pool/limits.ts';

const PAGES_PER_ZSPAGE = ZSPAGE_BYTES / PAGE_SIZE;
/** The kernel numbers classes by their size, from the smallest on in steps. */
const SIZE_MIN = 32;
const SIZE_STEP = 16;
const FULLNESS = ['10%', '20%', '30%', '40%', '50%', '60%', '70%', '80%', '90%', '99%', '100%'];

interface ClassUsage {
  /** Zspages by their fullness group. */
  readonly groups: number[];
  used: number;
}

export function zsmallocClasses(memory: Zsmalloc): string {
  return format(count(memory));
}

/** One pass over the zspages: a free one has no object in use. */
function count({ inUse, classOfZspage }: Zsmalloc): ClassUsage[] {
  const classes = Array.from({ length: CLASSES.count }, () => ({ groups: new Array<number>(GROUPS).fill(0), used: 0 }));
  for (let page = 0; page < inUse.length; page++) {
    const used = inUse[page];
    if (used === 0) continue;
    const c = classOfZspage[page];
    const objects = CLASSES.objects[c];
    // Between a look at the one column and the other the zspage may have become one of another class, with fewer objects.
    classes[c].groups[Math.min(FULL, Math.floor((used * (GROUPS - 1)) / objects))]++;
    classes[c].used += Math.min(used, objects);
  }
  return classes;
}

function format(classes: readonly ClassUsage[]): string {
  const totals = { groups: new Array<number>(GROUPS).fill(0), allocated: 0, used: 0, pages: 0, freeable: 0 };
  const lines = classes.map(({ groups, used }, c) => {
    const zspages = groups.reduce((a, b) => a + b, 0);
    const objects = CLASSES.objects[c];
    const allocated = zspages * objects;
    const pages = zspages * PAGES_PER_ZSPAGE;
    const freeable = Math.floor((allocated - used) / objects) * PAGES_PER_ZSPAGE;
    for (const [g, inGroup] of groups.entries()) totals.groups[g] += inGroup;
    totals.allocated += allocated;
    totals.used += used;
    totals.pages += pages;
    totals.freeable += freeable;
    const size = CLASSES.size[c];
    return row([(size - SIZE_MIN) / SIZE_STEP, size], groups, [allocated, used, pages, PAGES_PER_ZSPAGE, freeable]);
  });
  const { groups, allocated, used, pages, freeable } = totals;
  return [
    row(['class', 'size'], FULLNESS, ['obj_allocated', 'obj_used', 'pages_used', 'pages_per_zspage', 'freeable']),
    ...lines,
    '',
    row(['Total', ''], groups, [allocated, used, pages, '', freeable]),
  ].join('\n');
}

type Cell = string | number;

function row(name: readonly Cell[], groups: readonly Cell[], rest: readonly Cell[]): string {
  const widths = [5, 5, ...groups.map(() => 9), 13, 10, 10, 16, 8];
  return [...name, ...groups, ...rest].map((cell, i) => ` ${String(cell).padStart(widths[i])}`).join('');
}
