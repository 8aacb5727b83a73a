// From a config file and --set flags to a checked, frozen `Config`.
// Invariant: whatever is wrong is one line, `file:line:column: option: what is wrong, what is allowed`, or `--set option: ...`.
import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import { EXIT, ExitError } from '../os/exit_error.ts';
import { crossCheck } from './checks.ts';
import { HOME, REPOSITORY } from './fields.ts';
import { listOptions } from './option_list.ts';
import { commonLength, formatPath, type OptionPath, type Problem, parsePath } from './option_path.ts';
import { applyOverride, type Override, parseOverride } from './overrides.ts';
import { poolMaxNote } from './pool_options.ts';
import { type Config, configSchema, DEFAULT_EXPORTS } from './schema.ts';
import { parseSource, readSource, type Source } from './source.ts';

/** The file that is read when none is named. */
export const DEFAULT_CONFIG = resolve(REPOSITORY, 'config/default.jsonc');

/** All that is wrong with a config: the message is the first line, `problems` are all of them. */
export class ConfigError extends ExitError {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[], exitCode: number = EXIT.usage) {
    super(exitCode, problems[0]);
    this.problems = problems;
  }
}

interface LoadOptions {
  /** Config file; without it, config/default.jsonc. */
  file?: string | undefined;
  /** `path=value`, in the order of the command line. */
  set?: readonly string[];
  /** What relative paths in `set` are relative to. */
  cwd?: string;
}

export interface Loaded {
  config: Config;
  /** What to say of it although nothing is wrong, in lines. */
  notes: readonly string[];
  /** Puts the position of an option in front of a line that begins with the option's path and a colon. */
  locate(line: string): string;
}

/** Loads a config, or throws a ConfigError. */
export function loadConfig(options: LoadOptions = {}): Loaded {
  // Our own file names var/ as if it lay in HOME, which it does not where npm has put it.
  if (options.file === undefined) return loadFrom(readSource(DEFAULT_CONFIG), resolve(HOME, 'config'), options);
  return loadFrom(readSource(options.file), dirname(resolve(options.file)), options);
}

/** As loadConfig, for the text of a file that need not exist. */
export function loadConfigText(name: string, text: string, options: LoadOptions = {}): Loaded {
  return loadFrom(parseSource(name, text), dirname(resolve(name)), options);
}

function loadFrom(source: Source, folder: string, options: LoadOptions): Loaded {
  const overrides = (options.set ?? []).map((text) => parseOverride(text, isTextOption));
  // Relative paths are made absolute while it is still known who wrote them.
  const tree = absolutePaths(source.value, [], folder) as Record<string, unknown>;
  for (const override of overrides) {
    if (override.path[0] === 'exports' && override.path.length > 1 && tree.exports === undefined) {
      // So that `--set exports[0].size=4GiB` changes the default export, and [1] adds one beside it.
      tree.exports = structuredClone(DEFAULT_EXPORTS);
    }
    const value = absolutePaths(override.value, override.path, options.cwd ?? process.cwd());
    applyOverride(tree, { ...override, value });
  }
  const report = (problem: Problem) => reportLine(asWritten(problem, tree), source, overrides);

  const result = configSchema.safeParse(tree);
  if (!result.success) throw new ConfigError(result.error.issues.flatMap(toProblems).map(report));
  const config: Config = deepFreeze(result.data);
  const problems = crossCheck(config);
  if (problems.length > 0) throw new ConfigError(problems.map(report));
  const note = poolMaxNote((tree.pool as { max?: unknown } | undefined)?.max);
  return { config, notes: note === null ? [] : [note], locate: (line) => locateLine(line, config, report) };
}

/** An option as the two sets below have it, with the indexes of lists left out. */
const optionOf = (path: OptionPath): string => path.filter((key) => typeof key === 'string').join('.');
const OPTIONS = listOptions().map((option) => ({ ...option, path: option.path.replaceAll('[]', '') }));
const PATH_OPTIONS = new Set(OPTIONS.flatMap(({ path, isPath }) => (isPath ? [path] : [])));
const TEXT_OPTIONS = new Set(OPTIONS.flatMap(({ path, isText }) => (isText ? [path] : [])));

function isTextOption(path: OptionPath): boolean {
  return TEXT_OPTIONS.has(optionOf(path));
}

function absolutePaths(value: unknown, path: OptionPath, base: string): unknown {
  if (typeof value === 'string' && value !== '') {
    return PATH_OPTIONS.has(optionOf(path)) ? resolve(base, value) : value;
  }
  if (Array.isArray(value)) return value.map((item, index) => absolutePaths(item, [...path, index], base));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, absolutePaths(item, [...path, key], base)]),
  );
}

export function toProblems(issue: z.core.$ZodIssue): Problem[] {
  const path = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key));
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: `unknown key, ${issue.message}`, key: true }));
  }
  // A bad key of a record carries the reason one level deeper.
  const message = issue.code === 'invalid_key' ? `as a key ${issue.issues[0].message}` : issue.message;
  return [{ path, message }];
}

/** A memcg that nobody has written is the name of its export, and what is wrong with it is wrong with the name. */
function asWritten(problem: Problem, tree: { exports?: unknown }): Problem {
  const { path, message } = problem;
  const [list, index, option] = path;
  if (list !== 'exports' || typeof index !== 'number' || option !== 'memcg' || path.length !== 3) return problem;
  const one = Array.isArray(tree.exports) ? tree.exports[index] : undefined;
  if (typeof one !== 'object' || one === null || 'memcg' in one) return problem;
  return { path: ['exports', index, 'name'], message: `is the memcg too, as none is given; ${message}` };
}

/** Where an option's value came from: the flags that gave it, or a part of it, or the place in the file. */
function reportLine(problem: Problem, source: Source, overrides: readonly Override[]): string {
  const { path, message, key = false } = problem;
  const option = formatPath(path);
  const named = option === '' ? message : `${option}: ${message}`;
  const { position, depth } = source.locate(path, key ? 'key' : 'value');
  // What a flag gave whole has replaced what the file has there, however far down that reaches.
  const whole = overrides.findLast((one) => commonLength(path, one.path) === one.path.length);
  if (whole !== undefined) {
    return formatPath(whole.path) === option ? `${whole.flag}: ${message}` : `${whole.flag}: ${named}`;
  }
  const flags = flagsBeside(path, depth, overrides);
  if (flags === '') return `${position}: ${named}`;
  return depth === path.length ? `${flags} (over ${position}): ${named}` : `${flags}: ${named}`;
}

/** The flags that set something inside an option; or else the one nearest to it, if the file has nothing so near. */
function flagsBeside(path: OptionPath, depth: number, overrides: readonly Override[]): string {
  const inside = overrides.filter((one) => path.length > 0 && commonLength(path, one.path) === path.length);
  if (inside.length > 0) return [...new Set(inside.map((one) => one.flag))].join(', ');
  let best = '';
  let reach = depth;
  for (const override of overrides) {
    const common = commonLength(path, override.path);
    if (common <= reach) continue;
    best = override.flag;
    reach = common;
  }
  return best;
}

/** A line about something else, an environment variable say, stays as it is. */
function locateLine(line: string, config: Config, report: (problem: Problem) => string): string {
  const colon = line.indexOf(': ');
  const path = colon < 0 ? undefined : parsePath(line.slice(0, colon));
  return path === undefined || !(path[0] in config) ? line : report({ path, message: line.slice(colon + 2) });
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const item of Object.values(value)) deepFreeze(item);
    Object.freeze(value);
  }
  return value;
}
