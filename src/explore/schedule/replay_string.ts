/**
 * Replay strings: `zx1:<scenario>:<combination>:<choices>`, one word to paste. The combination is entry+swapoff+busy+
 * invalidate followed by what differs from its default: switches, treeIndexing=absolute, and lru=allocator; the choices are position>actor, joined by commas.
 *
 * `zx1` stands for what a position counts. It changes when the points of the façade are counted in another way, because
 * an old string would then mean another schedule.
 */
import { isCombination } from '../../protocols/combinations.ts';
import { type Combination, DEFAULT_SWITCHES, type SwitchName } from '../../protocols/index.ts';
import type { Choice } from '../run.ts';

const REPLAY_VERSION = 'zx1';
const CHOICES_MAX = 1000;
const ABSOLUTE = 'treeIndexing=absolute';
const BY_PAGES = 'lru=allocator';

interface Replay {
  readonly scenario: string;
  readonly combination: Combination;
  readonly schedule: readonly Choice[];
}

export function formatReplay({ scenario, combination, schedule }: Replay): string {
  const choices = schedule.map(({ position, actor }) => `${position}>${actor}`).join(',');
  return `${REPLAY_VERSION}:${scenario}:${formatCombination(combination)}:${choices}`;
}

export function formatCombination(combination: Combination): string {
  const { entry, swapoff, busy, invalidate, treeIndexing = 'relative', lru = 'entries', ...switches } = combination;
  const changed = Object.entries(switches)
    .filter(([name, value]) => value !== DEFAULT_SWITCHES[name as SwitchName])
    .map(([name, value]) => (value === true ? name : `!${name}`))
    .sort();
  const indexing = treeIndexing === 'relative' ? [] : [ABSOLUTE];
  const pages = lru === 'entries' ? [] : [BY_PAGES];
  return [entry, swapoff, busy, invalidate, ...changed, ...indexing, ...pages].join('+');
}

/** Throws an Error whose message is one line for whoever gave the string. */
export function parseReplay(text: string): Replay {
  const parts = text.split(':');
  if (parts[0] !== REPLAY_VERSION) {
    const found = /^zx\d+$/.test(parts[0]) ? `is of version ${parts[0]}` : 'is no replay string';
    throw new Error(`--replay: ${shown(text)} ${found}, allowed: ${REPLAY_VERSION}:SCENARIO:COMBINATION:CHOICES`);
  }
  if (parts.length !== 4) throw new Error(`--replay: ${shown(text)} has ${parts.length} parts, allowed: 4`);
  return { scenario: parts[1], combination: parseCombination(parts[2]), schedule: parseChoices(parts[3]) };
}

function parseCombination(text: string): Combination {
  const [entry, swapoff, busy, invalidate, ...rest] = text.split('+');
  const indexing = rest.includes(ABSOLUTE) ? ({ treeIndexing: 'absolute' } as const) : {};
  const pages = rest.includes(BY_PAGES) ? ({ lru: 'allocator' } as const) : {};
  const switches = rest
    .filter((word) => word !== ABSOLUTE && word !== BY_PAGES)
    .map((word): [string, boolean] => (word.startsWith('!') ? [word.slice(1), false] : [word, true]));
  const unknown = switches.find(([name]) => !Object.hasOwn(DEFAULT_SWITCHES, name));
  if (unknown !== undefined) throw new Error(`--replay: there is no switch ${shown(unknown[0])}`);
  const combination = { entry, swapoff, busy, invalidate, ...Object.fromEntries(switches), ...indexing, ...pages };
  if (!isCombination(combination)) throw new Error(`--replay: ${shown(text)} names no protocols`);
  return combination;
}

function parseChoices(text: string): Choice[] {
  if (text === '') return [];
  const words = text.split(',');
  if (words.length > CHOICES_MAX) throw new Error(`--replay: has ${words.length} choices, allowed: ${CHOICES_MAX}`);
  let last = -1;
  return words.map((word) => {
    const match = /^(\d{1,6})>(\d)$/.exec(word);
    if (match === null || Number(match[1]) <= last) {
      throw new Error(`--replay: ${shown(word)} is no choice, allowed: POSITION>ACTOR, positions ascending`);
    }
    last = Number(match[1]);
    return { position: last, actor: Number(match[2]) };
  });
}

function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
