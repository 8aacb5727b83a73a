/** What the steps of a trace do, in a few words. Writeback's are numbered by each entry protocol in its own way. */
import type { Shortest } from './shortest.ts';

const SHARED: Readonly<Record<string, string>> = {
  'ST: insert': 'a store puts its entry at the slot, in the place of the old one',
  'ST: erase': 'a store that was rejected takes the old entry out of the tree',
  'INV: erase': 'an invalidate (a TRIM, or swapoff slot by slot) takes the entry out of the tree',
  'INV: walk': 'an invalidate looks for the slot without a lock',
  'INV: clear': 'the invalidate locks the tree and clears the place',
  'SO: area': 'swapoff empties the tree in one go, whoever uses an entry',
  'SO: drain': 'swapoff waits until no entry is alive',
  'SO: lru': 'swapoff passes through every LRU lock',
  'SO: kill': 'swapoff lets nobody else take a reference to the tree',
  'SO: wait': 'swapoff waits for those that have one',
  'SO: free tree': 'swapoff frees the trees',
  'LD: ref': 'a load takes a reference to the entry',
  'LD: get': 'a load looks the entry up',
  'LD: put': 'a load drops its reference',
  'PF: lru del': 'a request has pinned the slot and takes its entry off the LRU',
  'PF: lru add': 'the request puts the entry back before it drops the pin',
};

const OWN: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'refcount-2013': {
    W1: 'writeback, which has picked its victim, looks it up and takes a reference',
    W2: 'takes a buffer and pins the slot',
    W3: 'decompresses the entry into the buffer',
    W4: 'starts the image write and unpins the slot',
    W5: 'drops its reference and takes the entry out of the tree',
    fail: 'gives up and drops its reference',
  },
  'cas-2013': {
    W1: 'writeback, which has picked its victim, looks it up and moves it from POOL to RECLAIM',
    W2: 'takes a buffer and pins the slot',
    W3: 'decompresses the entry into the buffer',
    W4: 'starts the image write and unpins the slot',
    W5: 'takes the entry out of the tree and frees it',
  },
  'refcount-lru-isolate': {
    a: 'writeback picks its victim under the LRU lock and takes it off the list',
    b: 'looks at the tree, takes a reference to the entry if it is still there, then a buffer and the pin',
    d: 'looks at the tree again, under the pin',
    e: 'decompresses the entry, starts the image write and unpins the slot',
    f: 'takes the entry out of the tree, or puts it back on the list, and drops its reference',
  },
  'pin-validate': {
    b: 'writeback picks its victim under the LRU lock and copies the slot number',
    d: 'pins the slot',
    e: 'compares what the tree holds with the victim',
    f: 'decompresses the entry and takes it out of the tree',
    g: 'frees the entry and starts the image write',
  },
};

/** A line for each step that the traces have; a label that two entry protocols use has a line for each. */
export function stepsText(traces: Iterable<Shortest>): string[] {
  const used = [...traces].flatMap(({ cell, trace }) =>
    trace.lines
      .filter(({ kind }) => kind === 'step')
      .map(({ text: label }) => {
        const { entry } = cell.combination;
        const own = OWN[entry][label];
        const text = own ?? SHARED[label];
        if (text === undefined) throw new Error(`${label} of ${entry}: say in scripts/pages/steps.ts what it does`);
        return { label, entry: own === undefined ? '' : entry, text };
      }),
  );
  const labels = [...new Set(used.map(({ label }) => label))].sort();
  return labels.flatMap((label) => {
    const ways = new Map(used.filter((one) => one.label === label).map(({ entry, text }) => [entry, text]));
    const name = (entry: string): string => (ways.size > 1 ? `\`${label}\` (${entry})` : `\`${label}\``);
    return [...ways].map(([entry, text]) => `- ${name(entry)}: ${text}`);
  });
}
