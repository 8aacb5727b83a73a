/** One line of the compiled code that is changed on purpose, and the scenario of the explorer that must notice. */
export interface Mutant {
  readonly name: string;
  /** Below dist. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly scenario: string;
  /** As in a replay string. */
  readonly combination: string;
  /** Preemptions that it takes, if more than two. */
  readonly bound?: number;
}
