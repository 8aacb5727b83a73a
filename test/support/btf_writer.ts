/** Writes BTF as a compiler would, of as few types as a test is about. */
const KIND = { int: 1, ptr: 2, struct: 4, union: 5, enum: 6, typedef: 8, func: 12, funcProto: 13 } as const;

interface MemberOf {
  readonly name: string;
  readonly type: number;
  readonly offset: number;
}

export class BtfWriter {
  private readonly types: Buffer[] = [];
  private strings = '\0';
  private count = 0;

  private string(text: string): number {
    if (text === '') return 0;
    const at = this.strings.length;
    this.strings += `${text}\0`;
    return at;
  }

  private add(name: string, kind: number, vlen: number, sizeOrType: number, tail: readonly number[]): number {
    const words = [this.string(name), ((kind << 24) | vlen) >>> 0, sizeOrType, ...tail];
    const bytes = Buffer.alloc(words.length * 4);
    words.forEach((word, i) => {
      bytes.writeUInt32LE(word >>> 0, i * 4);
    });
    this.types.push(bytes);
    return ++this.count;
  }

  int(name: string, size: number): number {
    return this.add(name, KIND.int, 0, size, [size * 8]);
  }

  pointer(to: number): number {
    return this.add('', KIND.ptr, 0, to, []);
  }

  typedef(name: string, type: number): number {
    return this.add(name, KIND.typedef, 0, type, []);
  }

  struct(name: string, size: number, members: readonly MemberOf[], kind: 'struct' | 'union' = 'struct'): number {
    const tail = members.flatMap((member) => [this.string(member.name), member.type, member.offset * 8]);
    return this.add(name, KIND[kind], members.length, size, tail);
  }

  enumeration(name: string, values: Readonly<Record<string, number>>): number {
    const tail = Object.entries(values).flatMap(([key, value]) => [this.string(key), value]);
    return this.add(name, KIND.enum, Object.keys(values).length, 4, tail);
  }

  func(name: string, returns: number, parameters: readonly number[]): number {
    const proto = this.add(
      '',
      KIND.funcProto,
      parameters.length,
      returns,
      parameters.flatMap((type) => [this.string('argument'), type]),
    );
    return this.add(name, KIND.func, 0, proto, []);
  }

  finish(): Buffer {
    const types = Buffer.concat(this.types);
    const strings = Buffer.from(this.strings, 'latin1');
    const header = Buffer.alloc(24);
    header.writeUInt16LE(0xeb9f, 0);
    header.writeUInt8(1, 2);
    header.writeUInt32LE(24, 4);
    header.writeUInt32LE(types.length, 12);
    header.writeUInt32LE(types.length, 16);
    header.writeUInt32LE(strings.length, 20);
    return Buffer.concat([header, types, strings]);
  }
}

/** What the probes look for in a kernel: as 6.12 has it, and with what a test wants otherwise. */
export function kernelBtf({ hasEntry = true, size = '_folio_nr_pages', hasHead = true } = {}): Buffer {
  const w = new BtfWriter();
  const long = w.int('long unsigned int', 8);
  const int = w.int('int', 4);
  const unsigned = w.int('unsigned int', 4);
  const entry = w.typedef('swp_entry_t', w.struct('', 8, [{ name: 'val', type: long, offset: 0 }]));
  const page = w.struct('page', 64, [{ name: 'flags', type: long, offset: 0 }]);
  const anonymous = w.struct('', 64, [
    { name: 'flags', type: long, offset: 0 },
    { name: 'memcg_data', type: long, offset: 56 },
  ]);
  const both = w.struct(
    '',
    64,
    [
      { name: '', type: anonymous, offset: 0 },
      { name: 'page', type: page, offset: 0 },
    ],
    'union',
  );
  const second = w.struct('', 64, [
    { name: '_flags_1', type: long, offset: 0 },
    { name: size, type: unsigned, offset: 32 },
  ]);
  const folio = w.struct('folio', 128, [
    { name: '', type: both, offset: 0 },
    { name: '', type: second, offset: 64 },
  ]);
  const node = w.struct('kernfs_node', 128, [{ name: 'id', type: long, offset: 96 }]);
  const cgroup = w.struct('cgroup', 1024, [{ name: 'kn', type: w.pointer(node), offset: 256 }]);
  const css = w.struct('cgroup_subsys_state', 256, [{ name: 'cgroup', type: w.pointer(cgroup), offset: 0 }]);
  w.struct('mem_cgroup', 2048, [{ name: 'css', type: css, offset: 0 }]);
  w.enumeration('pageflags', hasHead ? { PG_locked: 0, PG_head: 6 } : { PG_locked: 0 });
  w.func('__mem_cgroup_try_charge_swap', int, hasEntry ? [w.pointer(folio), entry] : [w.pointer(folio)]);
  w.func('__mem_cgroup_uncharge_swap', 0, [entry, unsigned]);
  return w.finish();
}
