// The options under `shrinker`: what is not said of its policy comes from the kernel that protocol.preset names.
// Invariant: what comes out has every choice said.
import { CURSORS, DEAD_POLICIES, HEURISTICS, RECLAIMERS, type ShrinkerPolicy } from '../pool/policies.ts';
import { type PresetName, SHRINKER_DEFAULT, SHRINKERS } from '../protocols/presets.ts';
import { BATCH_MAX, RUN_PAGES_MAX } from './bounds.ts';
import { bool, choice, group, integer } from './fields.ts';

const eras = (key: keyof ShrinkerPolicy): string => {
  const said = Object.entries(SHRINKERS).map(([preset, policy]) => `${preset}: ${policy[key]}`);
  return `Default: ${SHRINKER_DEFAULT[key]}; with protocol.preset ${said.join(', ')}.`;
};

const options = {
  batch: integer(
    1,
    BATCH_MAX,
    'pages',
    `Pages that the shrinker takes from one memcg before it goes on to the next. ${eras('batch')}`,
  ).optional(),
  heuristic: choice(
    HEURISTICS,
    `What keeps warm pages in the pool. second-chance: a walk passes a page by once that was stored or loaded since the last one, and the background shrinker takes a page less for each that came back from the image. protected: the background shrinker leaves so many pages of a memcg alone as came to it or came back lately; limits do not ask. none: the coldest goes. ${eras('heuristic')}`,
  ).optional(),
  secondChance: bool(
    'The older name of two of them: true is heuristic "second-chance", false is "none". One of both is enough.',
  ).optional(),
  cursor: choice(
    CURSORS,
    `Which memcg is next when the pool is full. fixed: each in turn. legacy: as from 6.8 to 6.11, a memcg that is offline and has pages yet sends the shrinker back to the first one, so that those behind it keep all they have; one without writeback ends its run, be it empty; and each round, and each memcg that has nothing to give, is one of the 16 failures after which a run ends. Unfair, and nothing is lost by it. ${eras('cursor')}`,
  ).optional(),
  reclaimer: choice(
    RECLAIMERS,
    `Who makes room in a full pool. worker: stores are rejected, and the shrinker writes back until the pool is down at its threshold. store: with protocol.lru allocator, as before Linux 5.7: each store that finds the pool full waits until a page of the allocator has been reclaimed for it, and is stored then, or rejected if eight pages did not go. ${eras('reclaimer')}`,
  ).optional(),
  dead: choice(
    DEAD_POLICIES,
    'What becomes of a page whose slot is free in the guest, as its agent says (attribution: agent): ignore leaves it where it is, first has it written back before all others of its memcg, last after them, drop discards it as a TRIM of its slot would; that alone changes what a READ gives, of slots that their guest calls free.',
  ).prefault('first'),
  enabled: bool(
    'Write back while the host is short of memory, before any limit is met, as the parameter shrinker_enabled of the kernel does. It is read from /proc/pressure/memory; where that can not be read nothing is written back, and the log says so.',
  ).prefault(false),
  pressure: integer(
    1,
    100,
    'percent',
    'With enabled: short of memory means that in the last ten seconds some task waited for memory in so much of the time (some avg10).',
  ).prefault(10),
  runPages: integer(
    1,
    RUN_PAGES_MAX,
    'pages of 4 KiB',
    'Most adjacent slots that are written to the image in one write; of more than image.buffers so many.',
  ).prefault(64),
};

export const shrinker = group(options, 'Writeback of cold pages.').transform((value, context) => {
  const { secondChance, ...said } = value;
  if (secondChance === undefined) return said;
  const heuristic = secondChance ? 'second-chance' : 'none';
  if (said.heuristic !== undefined && said.heuristic !== heuristic) {
    const message = `${secondChance} contradicts shrinker.heuristic ${JSON.stringify(said.heuristic)}, allowed: shrinker.heuristic alone`;
    context.issues.push({ code: 'custom', path: ['secondChance'], message, input: secondChance });
  }
  return { ...said, heuristic } as const;
});

/** What was said, over what the kernel of the preset did. */
export function withPolicy<T extends { readonly [K in keyof ShrinkerPolicy]?: ShrinkerPolicy[K] | undefined }>(
  said: T,
  preset: PresetName | null,
): Omit<T, keyof ShrinkerPolicy> & ShrinkerPolicy {
  const { heuristic, cursor, batch, reclaimer } = preset === null ? SHRINKER_DEFAULT : SHRINKERS[preset];
  return {
    ...said,
    heuristic: said.heuristic ?? heuristic,
    cursor: said.cursor ?? cursor,
    batch: said.batch ?? batch,
    reclaimer: said.reclaimer ?? reclaimer,
  };
}

/** What is going to be unfair, or null. */
export function cursorWarning({ shrinker }: { readonly shrinker: ShrinkerPolicy }): string | null {
  if (shrinker.cursor !== 'legacy') return null;
  return 'shrinker.cursor legacy: a memcg that is offline and has pages yet makes the shrinker begin again, so that memcgs behind it keep all they have, one without writeback ends its run, and 16 that are empty do';
}
