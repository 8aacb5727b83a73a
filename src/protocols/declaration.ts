/**
 * What a protocol says about itself, in its own file: the option reference, the refusals and warnings of a start, the
 * matrix and the pages are made of it. Whoever lists protocols (index.ts) needs to know nothing else of them, and a
 * protocol knows others by what they declare, not by their names.
 */

/** A single line of a protocol that can be switched: a fix that was merged by itself, or a bug that was shipped. */
export interface Switch {
  readonly name: string;
  readonly default: boolean;
  /** What the option reference says about it. */
  readonly about: string;
  /** The switch without which this one changes nothing. */
  readonly needs?: Switch;
}

/** One that breaks whichever entry protocol lists it in `brokenBy`, where it is not as by default. */
export interface BreakingSwitch extends Switch {
  /** What goes wrong, as the server says at start. */
  readonly breaks: string;
}

/** By name, each of them. */
export type SwitchSettings = Readonly<Record<string, boolean>>;

interface Declaration {
  /** What the option reference says about it. */
  readonly about: string;
  /** Its own numbered steps, and what each does; those that several protocols have are in steps.ts. */
  readonly steps?: Readonly<Record<string, string>>;
}

export interface Weakness {
  /** The switch that it is about; absent where it is the protocol. */
  readonly of?: Switch;
  /** What will go wrong, as the server says at start. */
  readonly text: string;
}

/** What the partners of an entry protocol have to know of it. */
export interface EntryFacts {
  /** Writeback asks `hold` of the swapoff protocol before it uses a tree. */
  readonly asksForTree: boolean;
  /** Writeback touches a tree only under a pin, and nothing once it has dropped that. */
  readonly pinsFirst: boolean;
  /** Writeback takes its victim off the LRU list, and puts it back if it fails. */
  readonly isolates: boolean;
  /** Whoever takes an entry out of its tree may free it there and then, without asking a count or a position. */
  readonly freesErased: boolean;
  /** Why nobody can wait until the counts of its entries are gone, as the end of a sentence; null where one can. */
  readonly uncounted: string | null;
  /** It tries again until another thread moves. */
  readonly retries: boolean;
}

export interface EntryDeclaration extends Declaration {
  readonly facts: EntryFacts;
  /** Switches that it alone has. */
  readonly switches: readonly Switch[];
  /** Switches that break it where they are not as by default. */
  readonly brokenBy: readonly BreakingSwitch[];
  /** What else is wrong with it, worst first. */
  weaknesses?(on: (one: Switch) => boolean): readonly Weakness[];
  /** What it goes with: as its kernels had it, and where that was broken, as it holds best. A matrix changes it bit by bit. */
  readonly usual: {
    readonly swapoff: string;
    readonly busy: string;
    readonly invalidate: string;
    readonly switches: SwitchSettings;
  };
}

/** An entry protocol, as its partners see it. */
export interface Entry {
  readonly name: string;
  readonly declaration: EntryDeclaration;
}

/** A protocol that goes with an entry protocol. */
export interface PartnerDeclaration extends Declaration {
  /** Why it has no meaning with this entry protocol, as what follows its name in a sentence; null where it has one. */
  refuses?(entry: Entry): string | null;
  /** What will go wrong with this entry protocol, as the server says at start; null where it holds. */
  weakness?(entry: Entry): string | null;
}
