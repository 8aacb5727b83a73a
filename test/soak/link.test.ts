// The connections of a soak, beside a device of this process.
import t from 'tap';
import { Ledger } from '#src/soak/ledger.js';
import { Links } from '#src/soak/link.js';
import { parseTarget } from '#src/soak/uri.js';
import { memoryDevice, serveStub } from './stub.ts';

t.test('links that are closed while they connect are closed', async (t) => {
  const target = parseTarget(await serveStub(t, memoryDevice()));
  const ledger = new Ledger(1);
  const links = new Links(target, 4, 10_000, ledger);
  await links.close();
  t.equal(ledger.connections, 0);
  t.equal(ledger.troubleCount, 0);
});
