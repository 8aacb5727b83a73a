/** How answers are read and judged: a reader asks for so many bytes, and throws at the first that must not be. */

/** Asks for the next bytes, and is given exactly so many. */
export type Reading = Generator<number, void, Buffer>;

/** What was answered and must not be. */
export class Forbidden extends Error {}

export function must(legal: boolean, what: string): asserts legal {
  if (!legal) throw new Forbidden(what);
}
