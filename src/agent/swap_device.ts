// Which swap type the kernel has given to the device that is our export: the probes and pagemap speak of types, not of devices.
import { readFileSync, statSync } from 'node:fs';
import { codeOf } from './problem.ts';

const PAGE_KIB = 4;

interface SwapLine {
  readonly path: string;
  readonly slots: number;
}

function parseSwaps(text: string): SwapLine[] {
  return text
    .split('\n')
    .slice(1)
    .filter((line) => line !== '')
    .map((line) => {
      const [path, , kib] = line.split(/\s+/);
      // The table leaves the page with the header out.
      return { path: path.replaceAll('\\040', ' '), slots: Number(kib) / PAGE_KIB + 1 };
    });
}

export class SwapDevice {
  readonly path: string;
  /** Undefined while the device is not swapped on, or nobody knows its type. */
  swapType: number | undefined;
  slots = 0;
  private readonly isProbed: boolean;
  private readonly swaps: string;
  /** What the probe saw of the table since `readAt`, and when. */
  private readonly seen = new Map<number, { readonly swapType: number; readonly time: number }>();
  private own: number | undefined;
  private table = '';
  /** Just before the table was read. */
  private readAt = Number.NEGATIVE_INFINITY;
  /** The probe has seen it with another type than ours since, though the table has the same lines. */
  private hasMoved = false;

  /** `isProbed`: that `saw` is told of devices while /proc/swaps is read. `swaps`: where the table is, if not there. */
  constructor(path: string, isProbed: boolean, swaps = '/proc/swaps') {
    this.path = path;
    this.isProbed = isProbed;
    this.swaps = swaps;
  }

  /** Looks, at this time, whether anything was swapped on or off since; call `settle` when what the probe saw has been read. */
  look(time: number): boolean {
    const text = readFileSync(this.swaps, 'utf8');
    // All but how much of each is used.
    const table = text.replaceAll(/^(\S+\s+\S+\s+\d+)\s+\d+/gm, '$1');
    if (table === this.table && !this.hasMoved) return false;
    this.table = table;
    this.readAt = time;
    this.seen.clear();
    return true;
  }

  /** Whoever reads the table has the probe see it, so this may be of a reading before ours, which holds no more, or of a later one. */
  saw(device: number, swapType: number, time: number): void {
    if (time < this.readAt) return;
    const before = this.seen.get(device);
    if (before === undefined || before.time <= time) this.seen.set(device, { swapType, time });
    // The table has no types, and a device that was swapped off and on again takes the lowest that is free.
    if (device === this.own && swapType !== this.swapType) this.hasMoved = true;
  }

  settle(): void {
    const lines = parseSwaps(this.table);
    this.own = deviceNumber(this.path);
    const { own } = this;
    const index = lines.findIndex(({ path }) => own !== undefined && deviceNumber(path) === own);
    this.slots = index < 0 ? 0 : lines[index].slots;
    // Without the probe: the table is in the order of types, and has no gaps as long as nothing was swapped off.
    const swapType = this.isProbed ? this.seen.get(own ?? -1)?.swapType : index;
    this.swapType = index < 0 ? undefined : swapType;
    this.hasMoved = false;
  }
}

/** As the kernel has it inside: 12 bits of major, 20 of minor. */
export function deviceNumber(path: string): number | undefined {
  try {
    const { rdev } = statSync(path);
    const major = Math.floor(rdev / 256) & 0xfff;
    const minor = (rdev & 0xff) | (Math.floor(rdev / 2 ** 12) & 0xfff00);
    return rdev === 0 ? undefined : major * 2 ** 20 + minor;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
