// A fault plan on a real server: applied, refused, replayed.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { askFaults as ask, planOf as plan } from '../support/faults.ts';
import { makePage } from '../support/pool.ts';
import { failedStart, startServer } from '../support/zswapd.ts';

const PAGE = 4096;

const text = (number: number): Buffer => Buffer.from(makePage('text', number));

t.test('a plan that is refused changes nothing, and each thing that is wrong with it is a line', async (t) => {
  const server = await startServer(t);
  await ask(server, 'POST', plan({ id: 'a', site: 'image.read', action: 'hang' }));
  const bad = plan({ site: 'image.read', action: 'x' }, { site: 'wire.reply', action: 'drop', match: { age: '1s' } });
  await t.rejects(ask(server, 'POST', bad, '?name=p'), {
    cause: {
      message:
        '400 p:1:51: faults[0].action: "x" is no action of image.read, allowed: EIO, ENOSPC, latency, hang\np:1:108: faults[1].match.age: is not known at wire.reply, allowed: export, slots, connection, command\n',
    },
  });
  t.match(await ask(server, 'GET'), { faults: [{ id: 'a' }] });
  await t.rejects(ask(server, 'GET', '', '?after=x'), { cause: { message: /^400 .*after is/ } });
});

t.test(
  'a plan of the config is in force from the start on, and one that is wrong is refused with its place',
  async (t) => {
    const server = await startServer(t);
    const file = join(server.folder, 'plan.jsonc');
    writeFileSync(file, '{ "seed": 3, // decides\n "faults": [{ "id": "a", "site": "image.read", "action": "EIO" }] }');
    await server.stop();
    const again = await startServer(t, { folder: server.folder, set: [`faults=${file}`] });
    t.match(await ask(again, 'GET'), { seed: 3, faults: [{ id: 'a', active: true }] });
    t.match(await again.logged('a fault plan is in force'), [/"seed":3/]);
    await again.stop();
    writeFileSync(file, '{ "seed": 3,\n "faults": [{ "site": "image.raed", "action": "EIO" }] }');
    const ended = await failedStart(t, { folder: server.folder, set: [`faults=${file}`] });
    t.equal(ended.code, 2);
    t.match(ended.stderr, /plan\.jsonc:2:23: faults\[0\]\.site: "image\.raed" is not one of the names, allowed: /);
  },
);

t.test('the same plan injects the same into the same requests', async (t) => {
  const run = async (seed: number): Promise<number[]> => {
    const server = await startServer(t, { set: ['lanes=1'] });
    const client = await server.connect();
    const faults = [{ site: 'pool.compress', action: 'fail', when: { probability: 30 } }];
    await ask(server, 'POST', JSON.stringify({ seed, faults }));
    for (let slot = 0; slot < 64; slot++) await client.write(slot * PAGE, text(slot));
    const { events } = await ask(server, 'GET');
    await client.disconnect();
    await server.stop();
    return events.map(({ slot }) => slot);
  };
  const first = await run(1);
  t.ok(first.length > 5 && first.length < 40);
  t.strictSame(await run(1), first);
  t.notSame(await run(2), first);
});
