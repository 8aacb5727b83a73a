// What tests of durability share: filling a device, reading it whole, and what its image and marker look like.
import { existsSync, readFileSync } from 'node:fs';
import type { NbdClient } from 'node-nbd-server';
import type { Random } from '../../support/random.ts';
import { pageOf, type Texture } from '../../support/random.ts';

export const PAGE = 4096;
export const MIB = 2 ** 20;

export const markerOf = (image: string): string => `${image}.zswapd`;
export const isMarked = (image: string): boolean => existsSync(markerOf(image));

/** The whole device as one client reads it. */
export async function readDevice(client: NbdClient): Promise<Buffer> {
  const step = 4 * MIB;
  const parts: Buffer[] = [];
  for (let at = 0; at < client.size; at += step) parts.push(await client.read(at, Math.min(step, client.size - at)));
  return Buffer.concat(parts);
}

/** Writes slots [first, end), each with content of its own; all are with the server at one time. */
export async function writeSlots(
  client: NbdClient,
  first: number,
  end: number,
  o: { version?: number; texture?: Texture } = {},
): Promise<void> {
  const writes: Promise<void>[] = [];
  for (let slot = first; slot < end; slot++) {
    writes.push(client.write(slot * PAGE, pageOf(slot, o.version ?? 0, o.texture)));
  }
  await Promise.all(writes);
}

/** The slots of [first, end) that don't read as they were written; an error is not right either. */
export async function wrongSlots(
  client: NbdClient,
  first: number,
  end: number,
  o: { version?: number; texture?: Texture } = {},
): Promise<string[]> {
  const wrong: string[] = [];
  const check = async (slot: number): Promise<void> => {
    try {
      const page = await client.read(slot * PAGE, PAGE);
      if (!page.equals(pageOf(slot, o.version ?? 0, o.texture))) wrong.push(`${slot}: other content`);
    } catch (error) {
      wrong.push(`${slot}: ${error}`);
    }
  };
  await Promise.all(Array.from({ length: end - first }, (_, i) => check(first + i)));
  return wrong;
}

/** The slots of [first, end) whose page, as writeSlots makes it, the image does not have. */
export function absentPages(image: string, first: number, end: number): number[] {
  const bytes = readImage(image);
  return Array.from({ length: end - first }, (_, i) => first + i).filter(
    (slot) => !bytes.subarray(slot * PAGE, (slot + 1) * PAGE).equals(pageOf(slot, 0)),
  );
}

/** Writes of every kind all over the device: whole pages, parts, long requests, trims, zeros. */
export async function scribble(client: NbdClient, random: Random, count: number): Promise<void> {
  const pages = client.size / PAGE;
  for (let i = 0; i < count; i++) {
    const slot = random.below(pages - 64);
    const kind = random.below(8);
    const length = 1 + random.below(20_000);
    if (kind === 0) await client.trim(slot * PAGE, 64 * PAGE);
    else if (kind === 1) await client.writeZeroes(slot * PAGE + random.below(PAGE), length);
    else if (kind === 2) await client.write(slot * PAGE + random.below(PAGE), Buffer.alloc(length, i));
    else {
      const texture = (['text', 'noise', 'filled'] as const)[random.below(3)];
      const run = Array.from({ length: 1 + random.below(16) }, (_, n) => pageOf(slot + n, i, texture));
      await client.write(slot * PAGE, Buffer.concat(run));
    }
  }
}

/** Where two buffers differ first, in pages; -1 if they don't. */
export function firstDifference(a: Buffer, b: Buffer): number {
  for (let at = 0; at < Math.max(a.length, b.length); at += PAGE) {
    if (!a.subarray(at, at + PAGE).equals(b.subarray(at, at + PAGE))) return at / PAGE;
  }
  return -1;
}

export const readImage = (path: string): Buffer => readFileSync(path);

/** The code of the error that a request must be answered with; 'none' if it is answered without one. */
export async function errorOf(request: Promise<unknown>): Promise<string> {
  try {
    await request;
    return 'none';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
