/**
 * Requests of one connection that overlap and are in flight together, sent by libnbd: each slot ends as the last of them left it,
 * and a READ has what was sent before it. The same operations go to an array of bytes, one after the other.
 *
 * NBD leaves open which of such requests comes first, and says that of those answered one after the other the later one counts;
 * but a client that sends two at a time and hears of both means the later one.
 */
import t from 'tap';
import { chooseSeed } from '../../support/random.ts';
import { missing } from '../../support/requires.ts';
import { startServer } from '../../support/zswapd.ts';
import { fileHash, succeed, tool } from './tools.ts';

/** The python that libnbd's module was packaged for; another one may be in front on the PATH. */
const PYTHON = '/usr/bin/python3';

async function unavailable(): Promise<string | false> {
  if (missing('nbdsh') !== false) return missing('nbdsh');
  const { code } = await tool({ teardown: () => undefined }, PYTHON, ['-c', 'import nbd']);
  return code === 0 ? false : `${PYTHON} has no module nbd (python3-libnbd)`;
}

const skip = await unavailable();

/** A few slots on both sides of the ends of slices, and ranges over all of them, so that a range has most of its way before it. */
const OVERLAPPING = `
import hashlib, nbd, random, sys
uri, seed, bursts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
R = random.Random(seed)
P = 4096
h = nbd.NBD()
h.connect_uri(uri)
S = h.get_size()
model = bytearray(S)
places = [0, 508, 1020, 3000, S // P - 8]

def some(most):
    first = R.choice(places) * P
    offset = first + R.randrange(8 * P) // 512 * 512
    return offset, min(R.randrange(512, most, 512), S - offset)

def pages():
    slot = R.choice(places) + R.randrange(8)
    return slot * P, min(R.randrange(1, 4) * P, S - slot * P)

def content(n):
    kind = R.randrange(3)
    if kind == 0: return bytes([R.randrange(1, 256)]) * n
    if kind == 1: return R.randbytes(n)
    return (R.randbytes(64) * (n // 64 + 1))[:n]

for burst in range(bursts):
    reads, cookies = [], []
    for i in range(R.randrange(2, 60)):
        kind = R.randrange(100)
        changed = None
        if kind < 45:
            offset, n = pages() if kind < 30 else some(3 * P)
            data = content(n)
            cookies.append(("write", h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), offset)))
            model[offset:offset + n] = data
            changed = (offset, offset + n)
        elif kind < 65:
            whole = R.randrange(4) == 0
            offset, n = (R.choice(places) * P, 0) if whole else some(16 * P)
            if whole: n = S - offset
            cookies.append(("trim", h.aio_trim(n, offset)))
            first, end = (offset + P - 1) // P * P, (offset + n) // P * P
            if first < end: model[first:end] = bytes(end - first)
            changed = (first, max(first, end))
        elif kind < 85:
            whole = R.randrange(8) == 0
            offset, n = some(16 * P)
            if whole: n = S - offset
            hole = whole or R.randrange(2) == 0
            cookies.append(("zero", h.aio_zero(n, offset, flags=0 if hole else nbd.CMD_FLAG_NO_HOLE)))
            model[offset:offset + n] = bytes(n)
            changed = (offset, offset + n)
        else:
            offset, n = some(8 * P)
            buffer = nbd.Buffer(n)
            cookies.append(("read", h.aio_pread(buffer, offset)))
            reads.append([offset, buffer, bytes(model[offset:offset + n]), bytearray(n)])
        if changed is not None:
            # A READ that waits may be overtaken by what is sent after it: there it has either.
            for offset, buffer, wanted, either in reads:
                a, b = max(offset, changed[0]) - offset, min(offset + len(wanted), changed[1]) - offset
                if a < b: either[a:b] = b"\\1" * (b - a)
    while h.aio_in_flight() > 0: h.poll(-1)
    for what, cookie in cookies:
        assert h.aio_command_completed(cookie), what
    for offset, buffer, wanted, either in reads:
        got = buffer.to_bytearray()
        for i in range(0, len(wanted), 512):
            if not any(either[i:i + 512]) and got[i:i + 512] != wanted[i:i + 512]:
                sys.exit("burst %d: a READ at %d does not have what was sent before it" % (burst, offset + i))
    for place in places:
        n = min(16 * P, S - place * P)
        got = h.pread(n, place * P)
        for i in range(0, n, 512):
            if got[i:i + 512] != model[place * P + i:place * P + i + 512]:
                sys.exit("burst %d: slot %d is not what was sent last" % (burst, place + i // P))
h.shutdown()
print(hashlib.sha1(model).hexdigest())
`;

for (const [name, set] of [
  ['one thread', ['lanes=0']],
  ['two lanes', ['lanes=2']],
  ['one thread, and most pages rejected', ['lanes=0', 'pool.max=1MiB', 'memcgs.swap0.zswap.max=16KiB']],
  ['two lanes, and most pages rejected', ['lanes=2', 'pool.max=1MiB', 'memcgs.swap0.zswap.max=16KiB']],
] as const) {
  t.test(`overlapping requests in flight end as they were sent: ${name}`, { skip }, async (t) => {
    const seed = chooseSeed();
    t.comment(`seed ${seed}`);
    const server = await startServer(t, { set, size: '16MiB' });
    const out = await succeed(t, PYTHON, ['-', server.unixUri, `${seed}`, '60'], { stdin: OVERLAPPING });
    t.equal((await server.stop()).code, 0);
    t.equal(fileHash(server.image), out.trim(), 'the image holds the same after a stop');
  });
}
