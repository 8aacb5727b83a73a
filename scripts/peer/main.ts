/**
 * What a peer does under the same faults: `./scripts/soak_peer`. Each fault of a plan is a soak of our server with it alone, and one
 * of nbdkit with what its filters can do of it; the table says what came of both. Exit code 1 where ours was not clean.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { REPOSITORY } from '#src/config/fields.js';
import { Child, capture, endAll } from '../support/child.ts';
import { nbdkitArguments, type Peer, peerOf } from './nbdkit.ts';
import { type Soaked, soakOnce } from './one_soak.ts';
import { faultsOf, type PlannedFault, planOfOne } from './plan.ts';

const USAGE = `usage: ./scripts/soak_peer [--seconds S] [--rate N] [--faults FILE] [--only IDS]
  --seconds S    length of each soak (default 8)
  --rate N       operations that begin in a second (default 200)
  --faults FILE  the plan (default config/faults/standard.jsonc)
  --only IDS     comma-separated ids of faults to keep`;

const HEAD = [
  'fault',
  'injected',
  'detected',
  'tolerated',
  'wrong, lost',
  'nbdkit: filter',
  'injected',
  'detected',
  'tolerated',
  'wrong, lost',
];

function whole(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 100_000) return value;
  throw new Error(`--${name}: ${JSON.stringify(text)}, allowed: a whole number from 1 to 100000`);
}

function cells(soaked: Soaked, injected: number, detected: number): string[] {
  const tolerated = Math.max(0, injected - detected);
  return [String(injected), String(detected), String(tolerated), `${soaked.wrong}, ${soaked.lost}`];
}

async function ours(fault: PlannedFault, seconds: number, rate: number, folder: string): Promise<Soaked> {
  mkdirSync(folder);
  const plan = join(folder, 'plan.json');
  writeFileSync(plan, planOfOne(fault, seconds * 1000));
  return await soakOnce(seconds, ['--rate', String(rate), '--faults', plan], folder);
}

async function theirs(peer: Peer, seconds: number, rate: number, folder: string): Promise<string[]> {
  mkdirSync(folder);
  const server = new Child('nbdkit', nbdkitArguments(peer, folder));
  try {
    await server.untilFile(join(folder, 'pid'));
    const uri = `nbd+unix:///?socket=${join(folder, 'n')}`;
    let steered = Promise.resolve();
    const soaked = await soakOnce(seconds, ['--rate', String(rate), '--uri', uri], folder, (phase) => {
      steered = steered.then(() => (phase === 'faults' ? peer.begin(folder) : peer.end(folder)));
    });
    await steered;
    await server.stop();
    const injected = peer.injected(folder, server.stderr);
    return [peer.title, ...cells(soaked, injected, soaked.errors)];
  } finally {
    await server.stop();
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '8' },
      rate: { type: 'string', default: '200' },
      faults: { type: 'string', default: join(REPOSITORY, 'config/faults/standard.jsonc') },
      only: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const seconds = whole('seconds', values.seconds);
  const rate = whole('rate', values.rate);
  if ((await capture('nbdkit', '--version')) === undefined) throw new Error('nbdkit is missing, allowed: installed');
  const only = values.only?.split(',');
  const folder = mkdtempSync(join(tmpdir(), 'zswapd-peer-'));
  let isClean = true;
  try {
    console.log(`| ${HEAD.join(' | ')} |\n|${HEAD.map(() => '---').join('|')}|`);
    for (const fault of faultsOf(values.faults)) {
      if (only !== undefined && !only.includes(fault.id)) continue;
      const soaked = await ours(fault, seconds, rate, join(folder, `${fault.id}-ours`));
      isClean &&= soaked.wrong + soaked.lost + soaked.unaccounted === 0;
      const peer = peerOf(fault);
      const beside =
        peer === null ? ['none', '', '', '', ''] : await theirs(peer, seconds, rate, join(folder, `${fault.id}-peer`));
      const row = [fault.id, ...cells(soaked, soaked.fault?.injected ?? 0, soaked.fault?.detected ?? 0), ...beside];
      console.log(`| ${row.join(' | ')} |`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return isClean ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => void endAll().then(() => process.exit(1)));
}
try {
  process.exitCode = await main();
} catch (error) {
  console.error(`soak_peer: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
