/** Scenarios by name, for who knows that they are there. */
import type { Scenario } from '#src/explore/scenarios/scenario.js';
import { findScenario } from '#src/explore/scenarios/scenarios.js';

export function scenarioNamed(name: string): Scenario {
  const scenario = findScenario(name);
  if (scenario === undefined) throw new Error(`there is no scenario ${name}`);
  return scenario;
}
