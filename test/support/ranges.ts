// TRIM and WRITE_ZEROES over slots of one lane with nothing around it, three slices long.
import { claimsHeld } from '#src/pool/claims.js';
import { PAGE_SIZE, SLICE_SLOTS } from '#src/pool/limits.js';
import { Bench, Request } from './lane.ts';

export const PAGES = 3 * SLICE_SLOTS;

export function bench(): Bench {
  return new Bench({ exports: [{ name: 'a', pages: PAGES, memcg: 0 }] });
}

export function trim(b: Bench, first: number, end: number): Request {
  const request = new Request();
  b.volume.trim(request, first * PAGE_SIZE, (end - first) * PAGE_SIZE);
  b.run();
  return request;
}

export function zero(b: Bench, first: number, end: number, noHole: boolean): Request {
  const request = new Request();
  b.volume.zero(request, first * PAGE_SIZE, (end - first) * PAGE_SIZE, noHole);
  b.run();
  return request;
}

export const claims = (b: Bench) => claimsHeld(b.z.shared.claims);

/** Answers each order with 0 until there are none; answers what was punched. */
export function punchAll(b: Bench, errno = 0): number[][] {
  const all: number[][] = [];
  for (let got = b.orders(); got.length > 0; got = b.orders()) {
    for (const order of got) {
      all.push([order.kind, order.slot, order.n]);
      b.answer(order, errno);
    }
  }
  return all;
}
