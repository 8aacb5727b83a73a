// Writeback on demand of a real server whose slots are stored, read and trimmed meanwhile: nothing reads wrong, nothing leaks.
import t from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { setFile } from '../support/control_files.ts';
import { chooseSeed, Random } from '../support/random.ts';
import { Traffic } from '../support/traffic.ts';
import { startServer } from '../support/zswapd.ts';

const seed = chooseSeed();
t.comment(`ZSWAPD_SEED=${seed}`);
t.setTimeout(300_000);

/** Pages that have to be written back on demand before the traffic may end. */
const ENOUGH = 500;

/** Of each way to take a victim off its list that holds: it stays on it, or it is isolated. */
const PROTOCOLS = { 'pin-validate': [], 'refcount-lru-isolate': ['protocol.swapoff=tree-refcount'] };

for (const [entry, others] of Object.entries(PROTOCOLS)) {
  t.test(`pages are written back by name beside traffic on their slots, ${entry}`, async (t) => {
    const set = [`protocol.entry=${entry}`, ...others, 'lanes=2', 'debug.oracle=true', 'pool.incompressible=store'];
    const server = await startServer(t, { size: '16MiB', set });
    const client = await server.connect();
    const traffic = new Traffic(client, { random: new Random(seed), hot: 64, reads: 40, trims: 15 });
    let ended = false;
    const asking = async (): Promise<string[]> => {
      const answers = new Set<string>();
      for (let i = 0; !ended; i++) {
        const what = ['huge', 'page_indexes=1-40', 'page_index=7 page_indexes=20-64'][i % 3];
        answers.add(await setFile(server, '/block/swap0/writeback', what));
      }
      return [...answers];
    };
    const running = traffic.run(120, async () => (await server.stats()).pool.asked_written_back >= ENOUGH);
    const [answers] = await Promise.all([
      asking(),
      running.finally(() => {
        ended = true;
      }),
    ]);
    for (const answer of answers) t.match(answer, /^$|^EAGAIN: pages that were in use/);
    t.match(
      { silent: traffic.silent, refused: traffic.refused, lost: traffic.lost },
      { silent: 0, refused: 0, lost: 0 },
    );
    t.ok((await server.stats()).pool.asked_written_back >= ENOUGH, 'enough of them');
    await client.disconnect();
    t.match(await fetchControl(server.controlPath, '/check'), { quiescent: true, ok: true, problems: [] });
  });
}
