// Connections in their handshake are bounded by themselves, and the oldest makes room once it has had its time.
import t from 'tap';
import { DROPPED_MAX } from '#src/config/descriptors.js';
import { HANDSHAKE_MS, Handshakes } from '#src/server/handshakes.js';

function table(max: number) {
  const clock = { now: 0 };
  const gone: number[] = [];
  const handshakes = new Handshakes(max, () => clock.now);
  let last = 0;
  const knock = (): boolean => {
    if (!handshakes.makeRoom()) return false;
    const connection = ++last;
    handshakes.began(connection, () => gone.push(connection));
    return true;
  };
  return { clock, gone, handshakes, knock };
}

t.test('as many as there may be, and the next when one has chosen or has ended', (t) => {
  const { gone, handshakes, knock } = table(2);
  t.same([knock(), knock(), knock()], [true, true, false]);
  handshakes.over(1);
  t.same([knock(), knock()], [true, false]);
  t.same(gone, []);
  t.end();
});

t.test('the oldest makes room, and not before it has had its time', (t) => {
  const { clock, gone, knock } = table(2);
  knock();
  clock.now = 10;
  knock();
  clock.now = HANDSHAKE_MS - 1;
  t.notOk(knock());
  clock.now = HANDSHAKE_MS;
  t.ok(knock());
  t.same(gone, [1]);
  t.notOk(knock(), 'the second is too young');
  clock.now = HANDSHAKE_MS + 10;
  t.ok(knock());
  t.same(gone, [1, 2]);
  t.end();
});

t.test('few are on their way out at a time', (t) => {
  const { clock, gone, handshakes, knock } = table(2);
  for (let n = 0; n < 2 + DROPPED_MAX; n++) {
    t.ok(knock());
    clock.now += HANDSHAKE_MS;
  }
  t.equal(gone.length, DROPPED_MAX);
  t.notOk(knock(), 'nobody ends them');
  handshakes.over(1);
  t.ok(knock());
  t.equal(gone.length, DROPPED_MAX + 1);
  t.end();
});
