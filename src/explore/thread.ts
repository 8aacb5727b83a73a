/**
 * Entry point of an explorer's threads. Each waits for its turn: for a new cell (settings and protocols) or for a run, in
 * which it is one actor. What a run throws is a finding, except for what ends runs.
 */
import { workerData } from 'node:worker_threads';
import { setClock } from '../os/clock.ts';
import { setChecking } from '../pool/entries.ts';
import * as sync from '../shm/sync.ts';
import type { OnWrite } from '../zswap/outward.ts';
import { Abort, Baton } from './baton.ts';
import { type Cell, cellZswap, threadOf } from './cell.ts';
import type { Env } from './loop.ts';
import { B, type Board, GO, takeCell } from './run_state.ts';
import { popcount } from './schedule/chooser.ts';
import { DIMENSIONS } from './search/dimensions.ts';
import { runActor } from './world/actors.ts';
import { tellTime } from './world/agent.ts';
import { watchStores } from './world/late_stores.ts';
import { runShrinker } from './world/shrinker.ts';
import { Words } from './world/word_names.ts';
import type { World } from './world/world.ts';

interface ThreadData {
  readonly world: World;
  readonly board: Board;
  readonly me: number;
}

const { world, board, me } = workerData as ThreadData;
const { ctl } = board;
const baton = new Baton(board, new Words(world), me);
baton.consultNames = DIMENSIONS;
let cell: Cell | null = null;
let env: Env | null = null;

function failed(report: string): never {
  throw new Error(report);
}

sync.enterThread(me + 1, failed);
sync.setViolation((kind, text) => baton.violate(kind, text));
setChecking(true);
setClock(() => tellTime(world));

async function enterCell(): Promise<void> {
  cell = takeCell(board) as Cell;
  env = null;
  if (me < cell.scenario.actors.length + 1) {
    const looker = { self: me + 1, plain: () => baton.plain(), interrupt: () => baton.pause() };
    const writeback: Env['writeback'] = { to: (): never => failed('this actor writes nothing back') };
    const onWrite: OnWrite = (x, slot, buffer) => writeback.to(x, slot, buffer);
    const zswap = await cellZswap(world, cell, threadOf(cell, me), (name) => baton.consult(name), onWrite, looker);
    const spec = cell.scenario.actors[me];
    const mine = spec?.kind === 'client' ? watchStores(zswap, world, baton, spec.connection) : zswap;
    env = { world, zswap: mine, baton, scenario: cell.scenario, writeback };
  }
  sync.unhooked.add(ctl, B.GONE, 1);
  sync.notify(ctl, B.GONE);
}

function run(): void {
  ctl[B.STARTED] |= 1 << me;
  baton.begin();
  sync.setHook(baton);
  try {
    if (cell === null || env === null) throw new Error(`actor ${me} has no part in this cell`);
    const spec = cell.scenario.actors[me];
    if (spec === undefined) runShrinker(env);
    runActor(env, spec);
    baton.finish();
  } catch (error) {
    end(error);
  }
  sync.setHook(null);
  leave();
}

/** The last to leave an ended run wakes the engine, so that it is woken once. */
function leave(): void {
  const gone = sync.unhooked.add(ctl, B.GONE, 1) + 1;
  if (sync.unhooked.load(ctl, B.ENDED) !== 1 || gone !== popcount(ctl[B.STARTED])) return;
  sync.unhooked.store(ctl, B.LEFT, 1);
  sync.notify(ctl, B.LEFT);
}

/** A throw of the code under test is a finding. */
function end(error: unknown): void {
  if (error instanceof Abort) return;
  try {
    const text = error instanceof Error ? `${error.message} ${firstFrame(error)}` : String(error);
    baton.violate(text.includes('double free') ? 'double free' : 'exception', text);
  } catch (second) {
    if (!(second instanceof Abort)) throw second;
  }
}

function firstFrame(error: Error): string {
  return (error.stack ?? '').split('\n')[1]?.trim() ?? '';
}

for (;;) {
  let go = sync.unhooked.load(ctl, B.GO + me);
  while (go === GO.NONE) {
    sync.sleep(ctl, B.GO + me, GO.NONE, Number.POSITIVE_INFINITY);
    go = sync.unhooked.load(ctl, B.GO + me);
  }
  sync.unhooked.store(ctl, B.GO + me, GO.NONE);
  if (go === GO.EXIT) break;
  if (go === GO.CELL) await enterCell();
  else run();
}
