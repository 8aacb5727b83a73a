// What a drain has to copy: every slot of its export that is stored or on its way, in order, each once, in short turns.
import t from 'tap';
import { STATE } from '#src/pool/export_state.js';
import { TREE_PAGES } from '#src/pool/limits.js';
import { HeldSlots } from '#src/zswap/held_slots.js';
import { makePage, newZswap, put } from '../support/pool.ts';

const exports = [
  { name: 'a', pages: 3 * TREE_PAGES + 100, memcg: 0 },
  { name: 'b', pages: 2 * TREE_PAGES, memcg: 0 },
];

interface Gathered {
  readonly slots: readonly number[];
  readonly turns: number;
}

function gather(z: ReturnType<typeof newZswap>, x: number, onTheirWay: readonly number[] = []): Gathered {
  let slots: number[] | null = null;
  const queue = { x, eachWriteback: (found: (slot: number) => void) => onTheirWay.forEach(found) };
  const held = new HeldSlots(z, queue, (all) => {
    if (slots !== null) throw new Error('told twice');
    slots = [...all];
  });
  let turns = 1;
  while (held.turn()) turns++;
  return { slots: slots ?? [], turns };
}

t.test('what is stored, in order, of this export alone', async (t) => {
  const z = newZswap({ exports });
  const last = 3 * TREE_PAGES + 99;
  for (const slot of [last, 2 * TREE_PAGES, 5, TREE_PAGES - 1, 0]) put(z, slot, makePage('text', slot));
  put(z, 7, makePage('text', 7), 1);
  t.strictSame(gather(z, 0).slots, [0, 5, TREE_PAGES - 1, 2 * TREE_PAGES, last]);
  t.strictSame(gather(z, 1).slots, [7]);
  z.invalidate(0, 5);
  t.strictSame(gather(z, 0).slots, [0, TREE_PAGES - 1, 2 * TREE_PAGES, last]);
});

t.test('and what is on its way, each slot once', async (t) => {
  const z = newZswap({ exports });
  for (const slot of [3, 9]) put(z, slot, makePage('text', slot));
  t.strictSame(gather(z, 0, [20, 9, 1, 20]).slots, [1, 3, 9, 20]);
  t.strictSame(gather(z, 1, [4, 4, 2]).slots, [2, 4]);
  t.strictSame(gather(z, 1).slots, []);
});

t.test('a turn is a piece of a tree, and trees without anything cost next to nothing', async (t) => {
  const z = newZswap({ exports });
  t.equal(gather(z, 0).turns, 1);
  for (let slot = 0; slot < TREE_PAGES; slot += 4) put(z, slot, makePage('same', slot));
  const { slots, turns } = gather(z, 0);
  t.equal(slots.length, TREE_PAGES / 4);
  t.ok(turns >= 2, `${turns} turns`);
});

t.test('of an export that is swapped off, whose trees are freed, only what is on its way', async (t) => {
  const z = newZswap({ exports });
  put(z, 3, makePage('text', 3));
  z.shared.states[0] = STATE.OFF;
  t.strictSame(gather(z, 0, [8]).slots, [8]);
});
