// What the server says at its start of a shrinker that is unfair: it is a choice, so it needs no unsafe.
import t from 'tap';
import { startServer } from '../support/zswapd.ts';

for (const [cursor, lines] of [
  ['legacy', 1],
  ['fixed', 0],
] as const) {
  t.test(`cursor ${cursor}: ${lines} line`, async (t) => {
    const server = await startServer(t, { set: [`shrinker.cursor=${cursor}`] });
    const said = await server.logged('shrinker.cursor legacy', lines);
    t.equal(said.length, lines);
    for (const line of said) t.match(line, /memcgs behind it keep all they have/);
  });
}
