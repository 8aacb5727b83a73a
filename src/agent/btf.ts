// The kernel's own description of its types (BTF, /sys/kernel/btf/vmlinux): offsets of members, values of enums, prototypes.
//
// Invariant: nothing is assumed about the kernel but this format. What is not found is undefined, and the caller says so.
import { Problem } from './problem.ts';

const MAGIC = 0xeb9f;

const KIND = {
  int: 1,
  ptr: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  fwd: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  func: 12,
  funcProto: 13,
  var: 14,
  datasec: 15,
  float: 16,
  declTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;

/** Bytes behind the 12 of each type: a fixed part, and a part for each of its `vlen` members. */
const TAIL: Readonly<Record<number, readonly [number, number]>> = {
  [KIND.int]: [4, 0],
  [KIND.ptr]: [0, 0],
  [KIND.array]: [12, 0],
  [KIND.struct]: [0, 12],
  [KIND.union]: [0, 12],
  [KIND.enum]: [0, 8],
  [KIND.fwd]: [0, 0],
  [KIND.typedef]: [0, 0],
  [KIND.volatile]: [0, 0],
  [KIND.const]: [0, 0],
  [KIND.restrict]: [0, 0],
  [KIND.func]: [0, 0],
  [KIND.funcProto]: [0, 8],
  [KIND.var]: [4, 0],
  [KIND.datasec]: [0, 12],
  [KIND.float]: [0, 0],
  [KIND.declTag]: [4, 0],
  [KIND.typeTag]: [0, 0],
  [KIND.enum64]: [0, 12],
};

const TRANSPARENT: readonly number[] = [KIND.typedef, KIND.volatile, KIND.const, KIND.restrict, KIND.typeTag];

export interface Member {
  /** Bytes from the beginning of the outermost struct. */
  readonly offset: number;
  readonly type: number;
}

export class Btf {
  private readonly bytes: Buffer;
  private readonly strings: number;
  /** Where each type begins; number 0 is void and has no place. */
  private readonly at: number[] = [0];

  constructor(bytes: Buffer) {
    if (bytes.length < 24 || bytes.readUInt16LE(0) !== MAGIC) throw new Problem('no BTF, or one of another byte order');
    this.bytes = bytes;
    const header = bytes.readUInt32LE(4);
    const types = header + bytes.readUInt32LE(8);
    const end = types + bytes.readUInt32LE(12);
    this.strings = header + bytes.readUInt32LE(16);
    if (end > bytes.length || this.strings + bytes.readUInt32LE(20) > bytes.length) throw new Problem('the BTF is cut');
    for (let at = types; at < end; ) {
      this.at.push(at);
      const tail = TAIL[this.kindAt(at)];
      if (tail === undefined) throw new Problem(`the BTF has a kind of type that this agent does not know`);
      at += 12 + tail[0] + tail[1] * this.vlenAt(at);
    }
  }

  private kindAt(at: number): number {
    return (this.bytes.readUInt32LE(at + 4) >>> 24) & 0x1f;
  }

  private vlenAt(at: number): number {
    return this.bytes.readUInt32LE(at + 4) & 0xffff;
  }

  private string(offset: number): string {
    const from = this.strings + offset;
    return this.bytes.toString('latin1', from, this.bytes.indexOf(0, from));
  }

  private name(type: number): string {
    return type === 0 ? '' : this.string(this.bytes.readUInt32LE(this.at[type]));
  }

  /** Whether a name is this one, without making a string of each of a hundred thousand. */
  private isNamed(type: number, name: Buffer): boolean {
    const from = this.strings + this.bytes.readUInt32LE(this.at[type]);
    return this.bytes.compare(name, 0, name.length, from, from + name.length) === 0;
  }

  private find(name: string, kinds: readonly number[]): number | undefined {
    const wanted = Buffer.from(`${name}\0`);
    for (let type = 1; type < this.at.length; type++) {
      if (kinds.includes(this.kindAt(this.at[type])) && this.isNamed(type, wanted)) return type;
    }
    return undefined;
  }

  /** The struct or union that a type is, through typedefs and the like. */
  private resolve(type: number): number {
    let found = type;
    while (found !== 0 && TRANSPARENT.includes(this.kindAt(this.at[found]))) {
      found = this.bytes.readUInt32LE(this.at[found] + 8);
    }
    return found;
  }

  /** A member by its name, through structs and unions that have none; a path of several with dots, such as "css.cgroup". */
  member(struct: string, path: string): Member | undefined {
    const type = this.find(struct, [KIND.struct]);
    if (type === undefined) return undefined;
    let found: Member = { offset: 0, type };
    for (const name of path.split('.')) {
      const next = this.memberOf(this.resolve(found.type), name);
      if (next === undefined) return undefined;
      found = { offset: found.offset + next.offset, type: next.type };
    }
    return found;
  }

  private memberOf(type: number, name: string): Member | undefined {
    const at = this.at[type];
    if (type === 0 || ![KIND.struct, KIND.union].some((kind) => kind === this.kindAt(at))) return undefined;
    const bitfields = this.bytes.readUInt32LE(at + 4) >>> 31 === 1;
    for (let i = 0; i < this.vlenAt(at); i++) {
      const from = at + 12 + 12 * i;
      const bits = this.bytes.readUInt32LE(from + 8);
      // With the flag the upper byte has the width of a bit field.
      const offset = (bitfields ? bits & 0xffffff : bits) >>> 3;
      const memberType = this.bytes.readUInt32LE(from + 4);
      const memberName = this.string(this.bytes.readUInt32LE(from));
      if (memberName === name) return { offset, type: memberType };
      const inner = memberName === '' ? this.memberOf(this.resolve(memberType), name) : undefined;
      if (inner !== undefined) return { offset: offset + inner.offset, type: inner.type };
    }
    return undefined;
  }

  /** Bytes that a value of the type takes; undefined for what has no size of its own. */
  sizeOf(type: number): number | undefined {
    const found = this.resolve(type);
    if (found === 0) return undefined;
    const kind = this.kindAt(this.at[found]);
    if (kind === KIND.ptr) return 8;
    const sized: readonly number[] = [KIND.int, KIND.struct, KIND.union, KIND.enum, KIND.enum64, KIND.float];
    return sized.includes(kind) ? this.bytes.readUInt32LE(this.at[found] + 8) : undefined;
  }

  /** The value of an enumerator, of whichever enum has it. */
  enumerator(name: string): number | undefined {
    const wanted = Buffer.from(`${name}\0`);
    for (let type = 1; type < this.at.length; type++) {
      const at = this.at[type];
      if (this.kindAt(at) !== KIND.enum) continue;
      for (let i = 0; i < this.vlenAt(at); i++) {
        const entry = at + 12 + 8 * i;
        const from = this.strings + this.bytes.readUInt32LE(entry);
        if (this.bytes.compare(wanted, 0, wanted.length, from, from + wanted.length) === 0)
          return this.bytes.readInt32LE(entry + 4);
      }
    }
    return undefined;
  }

  /** A function as C would declare it without the names of its parameters, such as "void f(swp_entry_t, unsigned int)". */
  prototype(name: string): string | undefined {
    const func = this.find(name, [KIND.func]);
    if (func === undefined) return undefined;
    const at = this.at[this.bytes.readUInt32LE(this.at[func] + 8)];
    const parameters: string[] = [];
    for (let i = 0; i < this.vlenAt(at); i++) {
      parameters.push(this.describe(this.bytes.readUInt32LE(at + 12 + 8 * i + 4)));
    }
    return `${this.describe(this.bytes.readUInt32LE(at + 8))} ${name}(${parameters.join(', ')})`;
  }

  private describe(type: number): string {
    if (type === 0) return 'void';
    const at = this.at[type];
    const target = this.bytes.readUInt32LE(at + 8);
    switch (this.kindAt(at)) {
      case KIND.ptr:
        return `${this.describe(target)} *`;
      case KIND.const:
        return `const ${this.describe(target)}`;
      case KIND.volatile:
      case KIND.restrict:
      case KIND.typeTag:
        return this.describe(target);
      case KIND.struct:
        return `struct ${this.name(type)}`;
      case KIND.union:
        return `union ${this.name(type)}`;
      case KIND.enum:
      case KIND.enum64:
        return `enum ${this.name(type)}`;
      default:
        return this.name(type);
    }
  }
}
