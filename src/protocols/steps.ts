/**
 * The numbered steps, as the protocols pass them to the façade: `debug.delay` names them, and traces are told in them. A
 * test compares the labels with the calls.
 */
import { PROTOCOLS, type Role } from './index.ts';
import { LRU_STEPS } from './lru/pages.ts';

/** Steps that more than one protocol has. */
export const SHARED_STEPS = {
  'ST: insert': 'a store puts its entry at the slot, in the place of the old one',
  'ST: erase': 'a store that was rejected takes the old entry out of the tree',
  'INV: erase': 'an invalidate (a TRIM, or swapoff slot by slot) takes the entry out of the tree',
  'LD: get': 'a load looks the entry up',
  'LD: ref': 'a load takes a reference to the entry',
  'LD: put': 'a load drops its reference',
  'SO: area': 'swapoff empties the tree in one go, whoever uses an entry',
  'SO: drain': 'swapoff waits until no entry is alive',
  'SO: free tree': 'swapoff frees the trees',
} as const;

type DeclarationOf<P> = P extends { readonly declaration: infer D } ? D : never;
type Declarations = { [R in Role]: DeclarationOf<(typeof PROTOCOLS)[R][keyof (typeof PROTOCOLS)[R]]> }[Role];
type OwnStep<D> = D extends { readonly steps: infer Steps } ? keyof Steps : never;
type StepLabel = OwnStep<Declarations> | keyof typeof SHARED_STEPS | keyof typeof LRU_STEPS;

const declarations: readonly Declarations[] = Object.values(PROTOCOLS).flatMap((protocols) =>
  Object.values(protocols).map(({ declaration }) => declaration),
);
const own = declarations.flatMap((one) => ('steps' in one ? Object.keys(one.steps) : []));

export const STEP_LABELS = [...new Set([...own, ...Object.keys(LRU_STEPS), ...Object.keys(SHARED_STEPS)])] as [
  StepLabel,
  ...StepLabel[],
];
