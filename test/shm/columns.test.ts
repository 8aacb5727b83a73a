// Shared columns: as long as asked for, zeroed, on a page of their own.
import t from 'tap';
import { releaseMemory } from '#src/os/memory.js';
import { float64, int32, reserve, uint8, uint16, uint32 } from '#src/shm/columns.js';

t.test('memory is reserved in whole pages, at least one', async (t) => {
  const sizes = [0, 1, 4095, 4096, 4097, 8192, 8193].map((bytes) => reserve(bytes).byteLength);
  t.strictSame(sizes, [4096, 4096, 4096, 4096, 8192, 8192, 12_288]);
});

t.test('it starts on a page: the system takes it back by the page', async (t) => {
  const memory = new Uint8Array(reserve(8192)).fill(7);
  t.equal(releaseMemory(memory, 4096, 4096), 0);
  t.strictSame([memory[4095], memory[4096]], [7, 0]);
});

t.test('a column has the length that was asked for, of zeros, and its last element can be written', async (t) => {
  for (const make of [int32, uint32, uint16, uint8, float64]) {
    for (const length of [1, 3, 1024, 4097]) {
      const column = make(length);
      t.equal(column.length, length, `${make.name}(${length})`);
      t.ok(column.every((value) => value === 0));
      column[length - 1] = 9;
      t.equal(column[length - 1], 9);
    }
  }
});
