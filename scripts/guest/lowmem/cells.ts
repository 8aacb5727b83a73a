// The matrix of --low-memory: guests with little RAM, each with one way to attach and one choice of settings.
//
// The load is made from what is free at its start: two hogs that have more than all of it, so that a good part is always swapped out, and,
// but for the cells with `limited`, no cgroup keeps the pressure from the rest of the guest.

export interface Cell {
  readonly name: string;
  readonly ramMib: number;
  /** blk: QEMU's client, nbd: the guest's nbd.ko over TCP, inside: the same over a unix socket, the server in the guest. */
  readonly attach: 'blk' | 'nbd' | 'inside';
  /** For nbd-client. */
  readonly nbdOptions?: string;
  /** vm.min_free_kbytes and vm.watermark_scale_factor, as the kernel has them unless given. */
  readonly minFreeKib?: number;
  readonly watermarkScale?: number;
  /** Settings of the server. */
  readonly set?: readonly string[];
  /** The server is in a cgroup with memory.swap.max=0, as MemorySwapMax=0 makes it in a unit. */
  readonly unswapped?: boolean;
  /** The hogs are in a cgroup with a memory.max of half of what is free. */
  readonly limited?: boolean;
  /** What README calls safe: anything but verified fails the run. */
  readonly safe: boolean;
}

const CARELESS = ['process.lockMemory=off', 'process.ioFlusher=off', 'process.dontDump=off'];
/** As little as holds a server and leaves room for the load; Node alone takes 130 MB. */
const INSIDE_MIB = 288;
const INSIDE_POOL = 'pool.max=24MiB';

const inside = (name: string, settings: Pick<Cell, 'set' | 'unswapped' | 'limited' | 'minFreeKib' | 'safe'>): Cell => ({
  ...{ name, ramMib: INSIDE_MIB, attach: 'inside', nbdOptions: '-swap', ...settings },
  set: [INSIDE_POOL, ...(settings.set ?? [])],
});

export const CELLS: readonly Cell[] = [
  { name: 'blk-96', ramMib: 96, attach: 'blk', safe: true },
  { name: 'blk-128', ramMib: 128, attach: 'blk', safe: true },
  { name: 'blk-96-no-reserve', ramMib: 96, attach: 'blk', minFreeKib: 128, safe: false },
  { name: 'nbd-96', ramMib: 96, attach: 'nbd', safe: true },
  { name: 'nbd-96-swap', ramMib: 96, attach: 'nbd', nbdOptions: '-swap', safe: true },
  { name: 'nbd-96-no-reserve', ramMib: 96, attach: 'nbd', minFreeKib: 128, safe: false },
  {
    ...{ name: 'nbd-96-reserve', ramMib: 96, attach: 'nbd', nbdOptions: '-swap -t 60' },
    ...{ minFreeKib: 8192, watermarkScale: 200, safe: true },
  },
  { name: 'nbd-128', ramMib: 128, attach: 'nbd', safe: true },
  inside('inside-careless', { set: CARELESS, safe: false }),
  inside('inside', { safe: false }),
  inside('inside-only-limited', { limited: true, safe: true }),
  inside('inside-unswapped', { set: ['process.oomScoreAdj=-900'], unswapped: true, minFreeKib: 16384, safe: false }),
  inside('inside-limited', {
    ...{ set: ['process.oomScoreAdj=-900'], unswapped: true, limited: true, minFreeKib: 16384, safe: true },
  }),
];

/** What is set, as a reader would set it. */
export function settingsOf(cell: Cell): string {
  return (
    [
      cell.nbdOptions === undefined ? '' : `nbd-client ${cell.nbdOptions}`,
      cell.minFreeKib === undefined ? '' : `min_free_kbytes ${cell.minFreeKib}`,
      cell.watermarkScale === undefined ? '' : `watermark_scale_factor ${cell.watermarkScale}`,
      ...(cell.set ?? []),
      cell.unswapped ? 'server: memory.swap.max 0' : '',
      cell.limited ? 'load: memory.max' : '',
    ]
      .filter((text) => text !== '')
      .join(', ') || 'none'
  );
}
