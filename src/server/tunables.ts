/**
 * Options that can be changed while the server runs. Each thread has a copy of the settings, made when it began; these few of
 * them are read from cells of shared memory instead, so that what is set here holds for the next page of every thread. A
 * thread that looks while two of them change may see one of them changed: a limit with the threshold of the limit before.
 */
import type { Tunables } from '../control/fs/parameters.ts';
import type { PoolSettings } from '../pool/shared.ts';
import { float64 } from '../shm/columns.ts';

const POOL_BYTES = 0;
const ACCEPT_BYTES = 1;
const SAME_FILLED = 2;
const ENABLED = 3;
const SHRINKER_ENABLED = 4;
const CELLS = 5;

/** Shared by all threads; only the main thread writes. */
export type TunableCells = Float64Array;

export function createCells(settings: PoolSettings): TunableCells {
  const { poolBytes, acceptBytes, sameFilled, shrinkerEnabled, enabled = true } = settings;
  const cells = float64(CELLS);
  cells[POOL_BYTES] = poolBytes;
  cells[ACCEPT_BYTES] = acceptBytes;
  cells[SAME_FILLED] = Number(sameFilled);
  cells[ENABLED] = Number(enabled);
  cells[SHRINKER_ENABLED] = Number(shrinkerEnabled);
  return cells;
}

/** The settings with the values of the cells. What is sent to another thread has lost that, and is made so again there. */
export function liveSettings(settings: PoolSettings, cells: TunableCells): PoolSettings {
  return {
    ...settings,
    get enabled() {
      return cells[ENABLED] !== 0;
    },
    get poolBytes() {
      return cells[POOL_BYTES];
    },
    get acceptBytes() {
      return cells[ACCEPT_BYTES];
    },
    get sameFilled() {
      return cells[SAME_FILLED] !== 0;
    },
    get shrinkerEnabled() {
      return cells[SHRINKER_ENABLED] !== 0;
    },
  };
}

/** What the files change them through. It belongs to the main thread. */
export class LiveTunables implements Tunables {
  readonly poolReserved: number;
  private readonly cells: TunableCells;
  private percent: number;

  /** `acceptThresholdPercent`: what the cells were made with. */
  constructor(cells: TunableCells, acceptThresholdPercent: number) {
    this.cells = cells;
    this.poolReserved = cells[POOL_BYTES];
    this.percent = acceptThresholdPercent;
  }

  get poolMax(): number {
    return this.cells[POOL_BYTES];
  }

  set poolMax(bytes: number) {
    this.cells[POOL_BYTES] = bytes;
    this.setAccept();
  }

  get acceptThresholdPercent(): number {
    return this.percent;
  }

  set acceptThresholdPercent(percent: number) {
    this.percent = percent;
    this.setAccept();
  }

  get sameFilled(): boolean {
    return this.cells[SAME_FILLED] !== 0;
  }

  set sameFilled(on: boolean) {
    this.cells[SAME_FILLED] = Number(on);
  }

  get enabled(): boolean {
    return this.cells[ENABLED] !== 0;
  }

  set enabled(on: boolean) {
    this.cells[ENABLED] = Number(on);
  }

  get shrinkerEnabled(): boolean {
    return this.cells[SHRINKER_ENABLED] !== 0;
  }

  set shrinkerEnabled(on: boolean) {
    this.cells[SHRINKER_ENABLED] = Number(on);
  }

  private setAccept(): void {
    this.cells[ACCEPT_BYTES] = Math.floor((this.poolMax * this.percent) / 100);
  }
}
