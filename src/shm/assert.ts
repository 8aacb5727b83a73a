/** What the code leans on, said where it does: relations between limits at import, invariants where they cost nothing. */

/** Throws where `holds` is false: a defect of ours, which stops the process. */
export function assert(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`assertion failed: ${what}`);
}
