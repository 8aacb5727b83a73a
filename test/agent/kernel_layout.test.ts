import { readFileSync } from 'node:fs';
import t from 'tap';
import { Btf } from '#src/agent/btf.js';
import { readLayout } from '#src/agent/kernel_layout.js';
import { chargeProbe, freeProbe } from '#src/agent/probes.js';
import { codeOf, Problem } from '#src/agent/problem.js';
import { BtfWriter, kernelBtf } from '../support/btf_writer.ts';

t.test('offsets come through anonymous structs and unions, and the probes are made of them', async (t) => {
  const layout = readLayout(new Btf(kernelBtf()));
  t.same(layout, {
    memcgData: 56,
    cgroup: 0,
    kernfsNode: 256,
    inode: 96,
    folioFlags: 0,
    headBit: 6,
    size: { offset: 96, bits: 32, what: 'pages' },
  });
  t.equal(
    chargeProbe(layout).definition,
    'p:zswapd/charge __mem_cgroup_try_charge_swap e=$arg2:x64 cg=+96(+256(+0(+56($arg1)))):u64 kind=+56($arg1):x8 ' +
      'head=+0($arg1):x8 size=+96($arg1):u32',
  );
  t.equal(freeProbe().definition, 'p:zswapd/free __mem_cgroup_uncharge_swap e=$arg1:x64 n=$arg2:u32');
});

t.test('a large folio without a count of pages has an order in its second page', async (t) => {
  const { size } = readLayout(new Btf(kernelBtf({ size: 'other' })));
  t.same(size, { offset: 64, bits: 8, what: 'order' });
});

t.test('a kernel that differs is refused with all that differs', async (t) => {
  const btf = new Btf(kernelBtf({ hasEntry: false, hasHead: false }));
  const charge = '__mem_cgroup_try_charge_swap';
  t.throws(
    () => readLayout(btf),
    new Problem(
      `the probes do not fit this kernel: int ${charge}(struct folio *) is not int ${charge}(struct folio *, swp_entry_t); ` +
        'no enum has PG_head',
    ),
  );
  const empty = new BtfWriter();
  empty.int('int', 4);
  t.throws(
    () => readLayout(new Btf(empty.finish())),
    /there is no __mem_cgroup_try_charge_swap; there is no .*no memcg_data/,
  );
});

t.test('what is no BTF, is cut, or has types of another time is a problem', async (t) => {
  const whole = kernelBtf();
  t.throws(() => new Btf(Buffer.alloc(10)), Problem);
  t.throws(() => new Btf(Buffer.alloc(100)), /no BTF/);
  t.throws(() => new Btf(whole.subarray(0, whole.length - 1)), /cut/);
  const foreign = Buffer.from(whole);
  foreign.writeUInt8(31, 24 + 7);
  t.throws(() => new Btf(foreign), /kind of type/);
});

/** Of the kernel that this runs on, or why it can't be had. */
function ownBtf(): Buffer | string {
  try {
    return readFileSync('/sys/kernel/btf/vmlinux');
  } catch (error) {
    return `no BTF of this machine's kernel: ${codeOf(error)}`;
  }
}

const own = ownBtf();
const skip = typeof own === 'string' ? own : false;

t.test("this machine's own BTF is read, and what keeps the probes from it is told", { skip }, async (t) => {
  const btf = new Btf(own as Buffer);
  t.equal(btf.prototype('kfree'), 'void kfree(const void *)');
  t.equal(btf.member('task_struct', 'no_such_member'), undefined);
  t.equal(btf.member('list_head', 'prev')?.offset, 8);
  try {
    t.match(readLayout(btf), { memcgData: Number, headBit: Number });
  } catch (error) {
    t.ok(error instanceof Problem);
  }
});
