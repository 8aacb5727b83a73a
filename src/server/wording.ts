/** How the log and the control plane say a number of things, and what was asked of an image. */

/** "1 page", "2 pages". */
export function many(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? '' : 's'}`;
}

/** "1 page is", "2 pages are"; or with another verb. */
export function manyAre(count: number, one: string, is = 'is', are = 'are'): string {
  return `${many(count, one)} ${count === 1 ? is : are}`;
}

/** What an image queue does, by the name that it has there (image_queue.ts), for who has not read that. */
const CALLS: Readonly<Record<string, string>> = {
  writeback: 'writing a page back',
  write: 'writing a page that the pool did not take',
  clean: 'copying to the image',
  punch: 'discarding',
  zero: 'zeroing',
  sync: 'syncing the image',
  scrub: 'reading the image for the scrub',
};

export function callInWords(kind: string): string {
  return CALLS[kind] ?? kind;
}
