/** What a task of the driver works with. */
import type { Operations, World } from './operations.ts';
import type { Picker } from './picker.ts';
import type { Random } from './random.ts';

export interface Hand {
  readonly world: World;
  readonly operations: Operations;
  readonly picker: Picker;
  readonly random: Random;
  /** Which writer this is, for the pages. */
  readonly writer: number;
  readonly can: Abilities;
}

/** What the export offers. */
export interface Abilities {
  readonly trim: boolean;
  readonly writeZeroes: boolean;
  readonly flush: boolean;
  readonly cache: boolean;
  readonly blockStatus: boolean;
  /** Requests of 512 bytes. */
  readonly parts: boolean;
  /** Connections that are cut with WRITEs under way leave nothing that lands later. */
  readonly cuts: boolean;
}
