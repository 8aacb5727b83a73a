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
  /** Undefined while the device is not swapped on. */
  swapType: number | undefined;
  slots = 0;
  private readonly isProbed: boolean;
  private readonly typeOf = new Map<number, number>();
  /** Types that devices have, ours or not, by the last look. */
  private known = new Set<number>();
  private table = '';

  /** `isProbed`: that `saw` is told of devices while /proc/swaps is read. */
  constructor(path: string, isProbed: boolean) {
    this.path = path;
    this.isProbed = isProbed;
  }

  /** Looks whether anything was swapped on or off since; call `settle` when what the probe saw has been read. */
  look(): boolean {
    const text = readFileSync('/proc/swaps', 'utf8');
    // All but how much of each is used.
    const table = text.replaceAll(/^(\S+\s+\S+\s+\d+)\s+\d+/gm, '$1');
    if (table === this.table) return false;
    this.table = table;
    return true;
  }

  /** Whether events of this type need a look first: something was swapped on since. */
  isNew(swapType: number): boolean {
    return !this.known.has(swapType);
  }

  saw(device: number, swapType: number): void {
    this.typeOf.set(device, swapType);
  }

  settle(): void {
    const lines = parseSwaps(this.table);
    const own = deviceNumber(this.path);
    const index = lines.findIndex(({ path }) => own !== undefined && deviceNumber(path) === own);
    this.slots = index < 0 ? 0 : lines[index].slots;
    // Without the probe: the table is in the order of types, and has no gaps as long as nothing was swapped off.
    const swapType = this.isProbed ? this.typeOf.get(own ?? -1) : index;
    this.swapType = index < 0 ? undefined : swapType;
    this.known = new Set(this.isProbed ? this.typeOf.values() : lines.keys());
    this.typeOf.clear();
  }
}

/** As the kernel has it inside: 12 bits of major, 20 of minor. */
function deviceNumber(path: string): number | undefined {
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
