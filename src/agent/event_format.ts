// Where an event's fields are: what events/GROUP/NAME/format says of them.
import { Problem } from './problem.ts';
import { wide } from './ring_page.ts';

interface Field {
  readonly offset: number;
  readonly size: number;
}

export interface EventFormat {
  readonly id: number;
  readonly fields: ReadonlyMap<string, Field>;
}

export function parseFormat(text: string): EventFormat {
  const id = /^ID: (\d+)$/m.exec(text);
  if (id === null) throw new Problem('the format of an event has no ID');
  const fields = new Map<string, Field>();
  for (const [, name, offset, size] of text.matchAll(/field:[^;]*?(\w+)(?:\[\d*\])?;\s*offset:(\d+);\s*size:(\d+);/g)) {
    fields.set(name, { offset: Number(offset), size: Number(size) });
  }
  return { id: Number(id[1]), fields };
}

/** Reads an unsigned field of events whose bytes begin at `at`. */
type ReadField = (page: Buffer, at: number) => number;

export function fieldReader({ fields }: EventFormat, name: string): ReadField {
  const field = fields.get(name);
  if (field === undefined) throw new Problem(`an event has no field ${name}`);
  const { offset, size } = field;
  if (size === 8) return (page, at) => wide(page, at + offset);
  if (size === 4) return (page, at) => page.readUInt32LE(at + offset);
  if (size === 2) return (page, at) => page.readUInt16LE(at + offset);
  return (page, at) => page[at + offset];
}

/** Both halves of an unsigned field of 64 bits, for one whose upper bits have a meaning of their own. */
export function halvesReader({ fields }: EventFormat, name: string): { low: ReadField; high: ReadField } {
  const field = fields.get(name);
  if (field?.size !== 8) throw new Problem(`an event has no 64-bit field ${name}`);
  const { offset } = field;
  return {
    low: (page, at) => page.readUInt32LE(at + offset),
    high: (page, at) => page.readUInt32LE(at + offset + 4),
  };
}

/** A string of variable length (__data_loc): its field has the length and the place. */
export function textReader(format: EventFormat, name: string): (page: Buffer, at: number) => string {
  const read = fieldReader(format, name);
  return (page, at) => {
    const place = read(page, at);
    const from = at + (place & 0xffff);
    const text = page.subarray(from, Math.min(page.length, from + (place >>> 16)));
    const end = text.indexOf(0);
    return text.toString('utf8', 0, end < 0 ? text.length : end);
  };
}
