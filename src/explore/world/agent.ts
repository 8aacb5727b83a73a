/** An agent of the guest in a scenario: its reports, the end of its cgroup, and what must have come of them in the end. */
import { LENGTH_SAME_FILLED, NONE } from '../../pool/entries.ts';
import { endCgroup } from '../../pool/guest_numbers.ts';
import { heirOf, pathOf } from '../../pool/memcg.ts';
import { MemcgTree } from '../../pool/memcg_tree.ts';
import { NOBODY, rowOfNumber, setNumber } from '../../pool/owners.ts';
import { get, isFreed, treeOf } from '../../pool/tree.ts';
import * as sync from '../../shm/sync.ts';
import { REPORTED, report } from '../../zswap/owner.ts';
import type { Zswap } from '../../zswap/zswap.ts';
import type { Env } from '../loop.ts';
import type { ActorSpec } from '../scenarios/scenario.ts';
import { MESSAGE, post, takeAnswer } from './shrinker.ts';
import { CGROUPS, NEW_MEMCG, type World } from './world.ts';

const X = 0;
/** The slot that an agent speaks of. */
const SLOT = 1;
const FIRST = 1;

/** The time, which nobody else will be told. */
export function tellTime({ clock }: World): number {
  return sync.add(clock, 0, 1) + 1;
}

/** Names the cgroups, as the main thread does before a report has their numbers; and a report has given the slot to one. */
export function beginAgent({ shared, thread }: Zswap, charged = NOBODY, max = Number.POSITIVE_INFINITY): void {
  const tree = new MemcgTree(shared, thread);
  const above = pathOf(shared.memcgs, shared.memcgs.ofExport[X]);
  for (const [i, name] of CGROUPS.entries()) tree.attachNumber(X, FIRST + i, tree.create(`${above}/${name}`));
  tree.setMax(`${above}/${CGROUPS[0]}`, max);
  setNumber(shared.memcgs.owners, X, SLOT, charged);
}

export function tell({ world, zswap, baton }: Env, { reports }: Extract<ActorSpec, { kind: 'agent' }>): void {
  const { clock } = world;
  for (const { n, event, sent = false } of reports) {
    let since = sync.load(clock, event);
    for (; event > 0 && since === 0; since = sync.load(clock, event)) sync.retry(clock, event, 0);
    if (sent) {
      send(world, zswap, n, since);
      baton.note(`slot ${SLOT} is ${n === NOBODY ? 'free' : `number ${n}'s`}, is heard`);
    } else tellOne(zswap, n, event > 0 ? since : Number.NEGATIVE_INFINITY, (text) => baton.note(text));
  }
}

function send(world: World, zswap: Zswap, n: number, since: number): void {
  const { boxes } = zswap.shared;
  let seen = sync.load(boxes, zswap.thread);
  post(world, zswap, MESSAGE.REPORT, X, n, since);
  while (takeAnswer(world, zswap.thread) === null) {
    sync.retry(boxes, zswap.thread, seen);
    seen = sync.load(boxes, zswap.thread);
  }
}

function tellOne(zswap: Zswap, n: number, since: number, note: (text: string) => void): void {
  const { boxes } = zswap.shared;
  for (;;) {
    const seen = sync.load(boxes, zswap.thread);
    const r = zswap.slots.pin(X, SLOT);
    if (r > 0) {
      const result = report(zswap, X, SLOT, n, since, Number.POSITIVE_INFINITY);
      zswap.slots.unpin(r);
      note(`slot ${SLOT} is number ${n}'s${(result & REPORTED.MOVED) !== 0 ? ', and so is its page' : ''}`);
      return;
    }
    sync.retry(boxes, zswap.thread, seen);
  }
}

/** What the main thread does with a cgroup that is gone, and with a row as soon as it is free. */
export function endAgentsCgroup({ zswap, baton }: Env): void {
  const { memcgs } = zswap;
  const tree = new MemcgTree(zswap.shared, zswap.thread);
  const row = rowOfNumber(memcgs.owners, X, FIRST);
  const path = pathOf(memcgs, row);
  endCgroup(memcgs.owners, X, [FIRST], row, memcgs.parent[row], () => tree.release(row));
  baton.note(`${path} is gone`);
  // Time goes by before somebody else wants a row.
  baton.pause();
  tree.reap();
  tree.create(`${pathOf(memcgs, memcgs.parent[row])}/${NEW_MEMCG}`);
}

/** The list that a walker walks next. */
export function walkedRow({ memcgs }: Zswap, walk: number): number {
  return rowOfNumber(memcgs.owners, X, walk === 0 ? NOBODY : FIRST);
}

/** All has been told, so the page of the slot is whose its generation is. */
export function ownerProblem({ memcgs, entries, trees }: Zswap, number: number, dies: boolean): string | null {
  const tree = treeOf(trees, X, SLOT);
  const e = isFreed(trees, tree) ? NONE : get(trees, tree, SLOT);
  if (e === NONE || entries.length[e] === LENGTH_SAME_FILLED) return null;
  if ((entries.dead[e] !== 0) !== dies) return `the page of slot ${SLOT} is ${dies ? 'live' : 'dead'}`;
  const [has, wants] = [entries.memcg[e], rowOfNumber(memcgs.owners, X, number)];
  if (heirOf(memcgs, has) === heirOf(memcgs, wants)) return null;
  return `the page of slot ${SLOT} is of ${pathOf(memcgs, has)}, not ${pathOf(memcgs, wants)}`;
}
