// What a run counts: assertions of the test files, and one for each other stage. Nothing that was skipped goes unnamed.

interface Skipped {
  readonly what: string;
  readonly reason: string;
}

export interface Tally {
  passed: number;
  failed: number;
  readonly skipped: Skipped[];
}

export function newTally(): Tally {
  return { passed: 0, failed: 0, skipped: [] };
}

export function addTally(sum: Tally, part: Tally): void {
  sum.passed += part.passed;
  sum.failed += part.failed;
  sum.skipped.push(...part.skipped);
}

/** The last line of a run; other programs read it. */
export function summaryLine(tally: Tally): string {
  return `${tally.passed} passed, ${tally.failed} failed, ${tally.skipped.length} skipped`;
}

/** One line for each reason, because a missing tool skips many tests at once. */
export function describeSkips(skipped: readonly Skipped[]): string[] {
  const byReason = new Map<string, string[]>();
  for (const { what, reason } of skipped) byReason.set(reason, [...(byReason.get(reason) ?? []), what]);
  return [...byReason].map(([reason, whats]) => {
    const shown = whats.slice(0, 3).join('; ');
    return `skipped: ${reason} (${shown}${whats.length > 3 ? `; and ${whats.length - 3} more` : ''})`;
  });
}
