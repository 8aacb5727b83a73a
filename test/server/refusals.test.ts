// The log of refused connections: the first line at once, one per period after it, and no refusal left out of the count.
import t from 'tap';
import { Refusals } from '#src/server/refusals.js';

const FIRST = 'x: connection refused: full';

t.test('the first is said at once, those after it together', async (t) => {
  const lines: string[] = [];
  let came = (): void => {};
  const refusals = new Refusals(
    'x',
    (line) => {
      lines.push(line);
      came();
    },
    20,
  );
  refusals.add('full');
  t.same(lines, [FIRST]);
  for (let i = 0; i < 6; i++) refusals.add('full');
  refusals.add('no descriptor');
  t.same(lines, [FIRST], 'the rest waits');
  const next = new Promise<void>((resolve) => {
    came = resolve;
  });
  // The timer of the log keeps no process alive.
  const alive = setInterval(() => {}, 1000);
  await next;
  clearInterval(alive);
  t.same(lines.slice(1), ['x: 7 further connections refused, the last one: no descriptor']);
  refusals.add('full');
  t.equal(lines.length, 2, 'a line opens a period of its own');
  refusals.close();
  t.same(lines.slice(2), ['x: 1 further connections refused, the last one: full']);
});

t.test('a close says what was left out, once', async (t) => {
  const lines: string[] = [];
  const refusals = new Refusals('x', (line) => lines.push(line));
  new Refusals('y', (line) => lines.push(line)).close();
  t.same(lines, [], 'nothing to say');
  for (let i = 0; i < 1000; i++) refusals.add('full');
  refusals.close();
  refusals.close();
  t.same(lines, [FIRST, 'x: 999 further connections refused, the last one: full']);
});

t.test('who is turned away after the close has a line at once', (t) => {
  const lines: string[] = [];
  const refusals = new Refusals('listen.unix', (line) => lines.push(line));
  refusals.add('full');
  refusals.add('full');
  refusals.close();
  refusals.add('late');
  refusals.add('later');
  t.same(lines.slice(2), ['listen.unix: connection refused: late', 'listen.unix: connection refused: later']);
  t.match(lines[1], '1 further connections refused');
  t.end();
});
