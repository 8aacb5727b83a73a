import t from 'tap';
import { Control } from '#src/soak/control.js';
import { FaultWatch } from '#src/soak/fault_watch.js';

const ROW = { id: 'f', site: 'pool.object', action: 'flip', class: 'must-detect', armed: true, active: true };

/** A server that answers so, one poll after the other; `asked` are the paths. */
function watching(...answers: object[]): { watch: FaultWatch; asked: string[] } {
  const asked: string[] = [];
  const control = new Control((_, path) => {
    asked.push(path);
    return Promise.resolve({ status: 200, text: JSON.stringify(answers.shift()) });
  });
  return { watch: new FaultWatch(control, 'swap0'), asked };
}

const answer = (now: number, events: object[], counts = { reached: 5, matched: 4, injected: 3 }) => ({
  ...{ seed: 7, plan: 'abc', now, eventsLost: 0, events },
  faults: [{ ...ROW, ...counts }],
});
const event = (n: number, o: object = {}) => ({ n, id: 'f', ms: 1000, export: 'swap0', slot: 5, count: 2, ...o });

t.test('each poll asks for what is behind the last event, and tells times on our clock', async (t) => {
  const { watch, asked } = watching(answer(2000, [event(41), event(42, { export: 'other' })]), answer(3000, []));
  const before = performance.now();
  await watch.poll();
  await watch.poll();
  t.same(asked, ['/v1/faults?after=0', '/v1/faults?after=42']);
  const [own, other] = watch.events;
  t.match(own, { id: 'f', slot: 5, count: 2 });
  t.ok(own.ms > before - 1100 && own.ms < performance.now() - 900, 'a second before the answer');
  t.equal(other.slot, -1, 'a slot of another export is none of ours');
  t.match(watch, { seed: 7, plan: 'abc', eventsLost: 0 });
});

t.test('what a server that is gone had counted is added to what the next one counts', async (t) => {
  const { watch } = watching(answer(1, []), answer(1, [], { reached: 1, matched: 1, injected: 1 }));
  await watch.poll();
  watch.carry();
  t.match(watch.rows, [{ reached: 5, injected: 3 }]);
  await watch.poll();
  t.match(watch.rows, [{ reached: 6, matched: 5, injected: 4 }]);
});

t.test('a fault that has ended the server was injected, also if it could not say so', async (t) => {
  const { watch } = watching(answer(1, [], { reached: 0, matched: 0, injected: 0 }));
  await watch.poll();
  watch.carry();
  watch.ended('f');
  t.match(watch.rows, [{ reached: 1, matched: 1, injected: 1 }]);
  t.match(watch.events, [{ id: 'f', slot: -1 }]);
});

t.test('old events of what must be tolerated are counted and not kept, those of other faults are kept', async (t) => {
  const old = Array.from({ length: 20_000 }, (_, i) => event(i + 1, { id: i % 2 === 0 ? 'f' : 'mild', ms: 0 }));
  const all = answer(200_000, [...old, event(20_001, { id: 'mild', ms: 199_000 })]);
  const { watch } = watching({
    ...all,
    faults: [...all.faults, { ...all.faults[0], id: 'mild', class: 'must-tolerate' }],
  });
  await watch.poll();
  t.equal(watch.events.length, 10_001);
  t.equal(watch.forgotten('mild'), 10_000);
  t.equal(watch.forgotten('f'), 0);
  t.equal(watch.eventsLost, 0);
});
