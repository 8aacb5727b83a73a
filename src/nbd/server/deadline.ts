/** The one deadline that a connection has at a time: of its handshake, of its last replies, or of what its client owes. */

/** When the time to pay is up, a client that comes to owe something is cut after this long. */
const DEBT_LOOK_MS = 100;

export class Deadline {
  readonly #missed: () => void;
  #timer: NodeJS.Timeout | null = null;

  constructor(missed: () => void) {
    this.#missed = missed;
  }

  get running(): boolean {
    return this.#timer !== null;
  }

  /** Instead of one that may be running. */
  set(ms: number, missed = this.#missed): void {
    this.clear();
    this.#timer = setTimeout(missed, ms);
  }

  /** For what a client `owes`: missed only by one who does, then or later on. */
  setForDebt(ms: number, owes: () => boolean): void {
    this.set(ms, () => {
      if (owes()) this.#missed();
      else this.setForDebt(DEBT_LOOK_MS, owes);
    });
  }

  clear(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
