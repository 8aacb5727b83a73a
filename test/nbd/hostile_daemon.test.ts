/** The hostile sessions of hostile_sessions.test.ts against a real `zswapd serve`: a few, and many with ZSWAPD_LONG=1. */
import { join } from 'node:path';
import fc from 'fast-check';
import { NbdClient } from 'node-nbd-server';
import t from 'tap';
import { sessions } from '../support/hostile/grammar.ts';
import { play } from '../support/hostile/play.ts';
import { dial, infoOf, STEADY, Steady, type Target } from '../support/hostile/targets.ts';
import { chooseSeed } from '../support/random.ts';
import { tempFolder } from '../support/tmp.ts';
import { startServer } from '../support/zswapd.ts';

const LONG = process.env.ZSWAPD_LONG === '1';
const RUNS = LONG ? 4000 : 60;

t.setTimeout(900_000);

t.test('hostile sessions with the daemon', async (t) => {
  const folder = tempFolder(t);
  const exports = ['ram', STEADY].map((name) => ({ name, size: '1MiB', image: join(folder, name) }));
  const server = await startServer(t, { folder, exports, readyLines: 4, set: ['listen.tcp=127.0.0.1:0'] });
  const path = server.socketPath;
  const port = Number(new URL(server.uris.find((uri) => uri.startsWith('nbd:')) ?? '').port);
  const infos = await Promise.all(['ram', STEADY].map((name) => infoOf(path, name)));
  const beside = new Steady(await NbdClient.connect({ socketPath: path, export: STEADY }));
  const targets: Target[] = [{ path }, { port }].map((where) => ({
    exports: infos,
    device: null,
    open: () => 0,
    connect: () => dial(where),
  }));
  const seed = chooseSeed();
  t.comment(`ZSWAPD_SEED=${seed}`);
  const property = fc.asyncProperty(sessions(targets.length), async (session) => {
    const [problem] = await Promise.all([play(targets[session.server], session), beside.round()]);
    if (problem !== null) throw new Error(problem);
    if (beside.wrong > 0) throw new Error('the client beside it reads what it has not written');
  });
  const { ZSWAPD_PATH } = process.env;
  const where = ZSWAPD_PATH === undefined ? {} : { path: ZSWAPD_PATH };
  const result = await fc.check(property, { seed, numRuns: RUNS, endOnFailure: true, ...where });
  if (result.failed) {
    const again = `ZSWAPD_SEED=${seed} ZSWAPD_PATH=${result.counterexamplePath}`;
    t.fail(`${again} node dist/test/nbd/hostile_daemon.test.js: ${(result.errorInstance as Error).message}`);
    t.comment(JSON.stringify(result.counterexample?.[0]));
  }
  beside.leave();
  t.equal((await server.stop()).code, 0);
});
