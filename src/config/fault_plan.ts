// From the text of a fault plan to what threads are given, held against the config of the server that is to have it.
// Invariant: whatever is wrong is one line, `name:line:column: faults[0].action: what is wrong, what is allowed`; all of them are
// told, and a plan with one of them changes nothing.
import { createHash } from 'node:crypto';
import type { FaultPlan, FaultRule } from '../faults/rules.ts';
import { isTimed, siteOf } from '../faults/sites.ts';
import { canonicalPath } from '../pool/memcg_path.ts';
import { checkFault, checkOverlaps, extrasOf } from './fault_checks.ts';
import { type PlanConfig, planSchema, type WrittenFault } from './fault_schema.ts';
import { ConfigError, toProblems } from './load.ts';
import { formatPath, type Problem } from './option_path.ts';
import { parseSource, readText } from './source.ts';

/** The plan of a file, or throws a ConfigError. */
export function loadPlan(file: string, config: PlanConfig): FaultPlan {
  return parsePlan(file, readText(file, 'plan'), config);
}

/** `name`: how messages call the text. */
export function parsePlan(name: string, text: string, config: PlanConfig): FaultPlan {
  const source = parseSource(name, text, 'plan');
  const report = ({ path, message, key = false }: Problem): string => {
    const { position } = source.locate(path, key ? 'key' : 'value');
    return path.length === 0 ? `${position}: ${message}` : `${position}: ${formatPath(path)}: ${message}`;
  };
  const result = planSchema.safeParse(source.value);
  if (!result.success) throw new ConfigError(result.error.issues.flatMap(toProblems).map(report));
  const { seed, faults } = result.data;
  const problems = faults.flatMap((fault, i) => checkFault(fault, config).map((one) => inFault(one, i)));
  if (problems.length > 0) throw new ConfigError(problems.map(report));
  const rules = faults.map((fault, i) => ruleOf(fault, i, config));
  const clashes = checkOverlaps(rules);
  if (clashes.length > 0) throw new ConfigError(clashes.map(report));
  const digest = createHash('sha256').update(JSON.stringify({ seed, rules })).digest('hex').slice(0, 16);
  return { seed, digest, faults: rules };
}

function inFault(problem: Problem, i: number): Problem {
  return { ...problem, path: ['faults', i, ...problem.path] };
}

/** With every default said. */
function ruleOf(fault: WrittenFault, i: number, { exports }: PlanConfig): FaultRule {
  const { site, action, match, when } = fault;
  const known = siteOf(site).actions[action];
  const once = isTimed(site) || action === 'once';
  return {
    id: fault.id ?? `${site}#${i}`,
    site,
    action,
    class: fault.class ?? known.class,
    match: {
      x: match.export === undefined ? null : exports.findIndex(({ name }) => name === match.export),
      memcg: match.memcg === undefined ? null : canonicalPath(match.memcg),
      slots: match.slots ?? null,
      connection: match.connection ?? null,
      command: match.command ?? null,
      age: match.age ?? null,
    },
    when: { ...when, times: when.times ?? (once ? 1 : -1), nth: when.nth ?? null },
    verbose: fault.verbose,
    at: fault.at,
    for: fault.for ?? null,
    with: extrasOf(fault).values,
  };
}
