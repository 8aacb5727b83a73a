// The one declaration of what a fault plan may say: names, units, bounds and defaults. What a site does stands in faults/sites.ts.
// Invariant: as in schema.ts, every message says what is wrong and what is allowed.
import { z } from 'zod';
import { FAULTS_MAX } from '../faults/rules.ts';
import { CLASSES, SITE_NAMES } from '../faults/sites.ts';
import { EXPORT_BYTES_MAX, PAGE_SIZE } from '../pool/limits.ts';
import { MEMCG_PATH_MAX, NAME_MAX } from './bounds.ts';
import { choice, duration, group, integer, parsed, text } from './fields.ts';
import type { Config } from './schema.ts';

/** A week: what a soak may last, and more would not be waited for. */
const PLAN_MS_MAX = 7 * 24 * 3_600_000;
/** One in a hundred million. */
const PERCENT_MIN = 1e-6;
const COUNT_MAX = 2 ** 31 - 1;
const SLOT_MAX = EXPORT_BYTES_MAX / PAGE_SIZE - 1;

const COMMANDS = ['read', 'write', 'trim', 'zero', 'flush', 'cache', 'status'] as const;

function slotRange(value: unknown): [number, number] | undefined {
  const match = typeof value === 'string' ? /^(\d{1,10})(?:-(\d{1,10}))?$/.exec(value) : null;
  if (match === null) return undefined;
  const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
  return first <= last && last <= SLOT_MAX ? [first, last] : undefined;
}

function percent(value: unknown): number | undefined {
  return typeof value === 'number' && value >= PERCENT_MIN && value <= 100 ? value : undefined;
}

const match = group(
  {
    export: text(1, NAME_MAX, 'Name of an export.').optional(),
    memcg: text(0, MEMCG_PATH_MAX, 'Path of a memcg; what is below it belongs to it.').optional(),
    slots: parsed(slotRange, 'a range of slots', {
      description: 'Slots of 4 KiB, both ends counted.',
      allowed: `"FIRST-LAST" or "SLOT", up to ${SLOT_MAX}`,
    }).optional(),
    connection: integer(1, COUNT_MAX, 'number', 'A connection, by its number since the start.').optional(),
    command: choice(COMMANDS, 'What the client asked for.').optional(),
    age: duration(0, PLAN_MS_MAX, 'Of an entry: at least so long since it was stored or read.').optional(),
  },
  'What the fault is limited to; what is left out limits nothing.',
);

const when = group(
  {
    probability: parsed(percent, 'valid', {
      description: 'Percent of the matches.',
      allowed: `a number from ${PERCENT_MIN} to 100`,
    }).prefault(100),
    interval: integer(1, COUNT_MAX, 'matches', 'Each so-manieth match can fail.').prefault(1),
    times: integer(-1, COUNT_MAX, 'injections', 'So often at most; -1 is for ever.').optional(),
    space: integer(
      0,
      COUNT_MAX,
      'matches',
      'A budget that matches use up before any fails, as the kernel counts it.',
    ).prefault(0),
    nth: integer(1, COUNT_MAX, 'match', 'Fails this match and no other, whatever the rest says.').optional(),
  },
  "When, in the kernel's fault attributes.",
);

const fault = group(
  {
    id: text(1, NAME_MAX, 'Unique in the plan; site#index unless given.').optional(),
    site: choice(SITE_NAMES, 'Where.'),
    action: text(1, NAME_MAX, 'What, of the actions of the site.'),
    class: choice(CLASSES, 'What the server claims of it.').optional(),
    match: match.prefault({}),
    when: when.prefault({}),
    with: z
      .record(z.string(), z.unknown(), {
        error: () => 'is not an object, allowed: an object with what the action takes',
      })
      .prefault({}),
    verbose: integer(0, 1, 'level', '0: counted only, 1: a log line for each, as far as the log can bear it.').prefault(
      1,
    ),
    at: duration(0, PLAN_MS_MAX, 'From when on after the plan was applied.').prefault('0s'),
    for: duration(1, PLAN_MS_MAX, 'For how long; for ever unless given.').optional(),
  },
  'One fault.',
);

const faultsAllowed = `a list of 1 to ${FAULTS_MAX} objects {site, action, ...}`;

export const planSchema = group(
  {
    $schema: z.string().optional(),
    seed: integer(0, Number.MAX_SAFE_INTEGER, 'seed', 'Decides everything that is drawn.'),
    faults: z
      .array(fault, {
        error: (issue) => `${issue.input === undefined ? 'is missing' : 'is not a list'}, allowed: ${faultsAllowed}`,
      })
      .min(1, { error: () => `is empty, allowed: ${faultsAllowed}` })
      .max(FAULTS_MAX, { error: () => `has too many faults, allowed: ${faultsAllowed}` }),
  },
  'A fault plan.',
);

export type WrittenFault = z.output<typeof fault>;

/** What a plan is held against. */
export type PlanConfig = Pick<Config, 'exports' | 'pool' | 'debug' | 'lanes' | 'durability'>;
