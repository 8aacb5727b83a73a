/**
 * Slots that become free, for traces: why a pin says ENOENT would not be seen otherwise. The façade announces an operation
 * and does not say what came of it, so the word is looked at again at the thread's next operation: nobody else has moved.
 */
export class FreedSlots {
  private words: Int32Array | null = null;
  private index = 0;
  private before = 0;

  /** This thread is going to clear bits of a word of `users` now. */
  expect(words: Int32Array, index: number): void {
    this.words = words;
    this.index = index;
    this.before = words[index];
  }

  /** There is something to take(). */
  get isExpecting(): boolean {
    return this.words !== null;
  }

  /** What has become free since, once. */
  take(): number[] {
    if (this.words === null) return [];
    const gone = this.before & ~this.words[this.index];
    this.words = null;
    return Array.from({ length: 32 }, (_, bit) => bit)
      .filter((bit) => ((gone >>> bit) & 1) === 1)
      .map((bit) => this.index * 32 + bit);
  }
}
