/**
 * An explorer's engine: a world, the threads of its actors, and one call that runs one schedule and says what came of it.
 * The caller's thread sleeps during a run, so it must be one that has nothing to serve.
 */
import { Worker } from 'node:worker_threads';
import { setChecking } from '../pool/entries.ts';
import { THREADS_MAX } from '../pool/limits.ts';
import * as sync from '../shm/sync.ts';
import type { Zswap } from '../zswap/zswap.ts';
import { type Cell, cellZswap } from './cell.ts';
import { stayOn } from './processor.ts';
import type { Decision, Outcome, RunOptions } from './run.ts';
import {
  ACTORS_MAX,
  B,
  type Board,
  beginRun,
  createBoard,
  DECISION_WORDS,
  GO,
  putCell,
  readLines,
  STATE,
} from './run_state.ts';
import { chooseOther, NOBODY } from './schedule/chooser.ts';
import { addKnown, forgetKnown } from './search/known_states.ts';
import { FINGERPRINT_LOW } from './search/moves.ts';
import { checkQuiescence, type Finding } from './world/quiescence.ts';
import { endStage, NO_STAGE, type Stage, setStage } from './world/start_state.ts';
import { Words } from './world/word_names.ts';
import { beginMemcgs, createWorld, type World } from './world/world.ts';

/** A run that takes longer is a defect of the explorer itself. */
const RUN_MS = 20_000;

export class Engine {
  readonly board: Board;
  readonly words: Words;
  private readonly world: World;
  /** As many as a cell that was entered has needed. */
  private readonly threads: Worker[] = [];
  private readonly leaveProcessor: () => void;
  private readonly empty: Uint8Array[];
  private start: Uint8Array[] = [];
  private zswap: Zswap | null = null;
  private actors = 0;
  private boxes = 0;
  private stage: Stage = NO_STAGE;
  private window: readonly string[] | null = null;
  private beside: readonly string[] = [];
  private racing: readonly number[] = [];

  private constructor(leave: () => void, exports: number) {
    this.leaveProcessor = leave;
    this.world = createWorld(exports);
    this.words = new Words(this.world);
    this.board = createBoard(this.words.total);
    this.empty = this.words.snapshot();
  }

  private async spawn(threads: number): Promise<void> {
    const { world, board } = this;
    const spawned: Promise<unknown>[] = [];
    for (let me = this.threads.length; me < threads; me++) {
      const thread = new Worker(new URL('./thread.js', import.meta.url), { workerData: { world, board, me } });
      this.threads.push(thread);
      spawned.push(new Promise((resolve) => thread.once('online', resolve)));
    }
    await Promise.all(spawned);
  }

  /** The calling thread stays on processor number `processor` until close(). `exports`: what scenarios have, all of them alike. */
  static create(processor = process.pid, exports = 1): Engine {
    return new Engine(stayOn(processor), exports);
  }

  /** Prepares a cell: its settings in every thread, and the world as it is when each of its runs starts. */
  async enter(cell: Cell): Promise<void> {
    const { ctl } = this.board;
    const { scenario } = cell;
    if (scenario.actors.length >= ACTORS_MAX) throw new Error(`${scenario.name} has too many actors`);
    const { exports = 1 } = scenario;
    if (exports !== this.world.exports) throw new Error(`${scenario.name} is of a world with ${exports} exports`);
    this.words.restore(this.empty);
    setChecking(true);
    this.zswap = await cellZswap(this.world, cell, THREADS_MAX - 1, () => undefined);
    beginMemcgs(this.world.shared, this.zswap.settings);
    this.stage = setStage(this.world, this.zswap, scenario);
    this.start = this.words.snapshot();
    this.actors = scenario.actors.length + 1;
    this.window = scenario.window ?? null;
    this.beside = scenario.beside ?? [];
    this.boxes = this.words.places.get(this.world.shared.boxes)?.array ?? 0;
    ctl[B.MAILBOX] = this.boxes;
    putCell(this.board, cell);
    ctl[B.GONE] = 0;
    await this.spawn(this.actors);
    for (let i = 0; i < this.threads.length; i++) this.wake(i, GO.CELL);
    this.waitFor(B.GONE, this.threads.length);
    this.forget();
  }

  /** What was learned of the words belongs to one cell. */
  private forget(): void {
    const { ctl, touched, written, lockset, choice, lockIds } = this.board;
    for (const words of [touched, written, choice, lockIds]) words.fill(0);
    lockset.fill(-1);
    ctl[B.LOCKS] = 0;
    ctl[B.CONSULTED] = 0;
    this.racing = [];
  }

  run(options: RunOptions): Outcome {
    const { ctl, schedule } = this.board;
    this.words.restore(this.start);
    beginRun(this.board, this.actors, this.actors - 1);
    options.schedule.forEach(({ position, actor }, i) => {
      schedule[i * 2] = position;
      schedule[i * 2 + 1] = actor;
    });
    ctl[B.LENGTH] = options.schedule.length;
    ctl[B.MODE] = options.mode;
    ctl[B.ALL] = options.all ? 1 : 0;
    ctl[B.VERBOSE] = options.verbose ? 1 : 0;
    ctl[B.LEARN] = 1;
    ctl[B.SEED] = options.seed;
    ctl[B.CHANGES] = options.changes.length;
    ctl[B.KNOWN_AT] = (options.preemptions ?? -1) + 1;
    options.priorities.forEach((priority, i) => {
      ctl[B.PRIORITY + i] = priority;
    });
    options.changes.forEach((position, i) => {
      ctl[B.CHANGE_AT + i] = position;
    });
    // The image's thread starts out asleep: it has nothing to do before its first wake-up.
    const image = this.actors - 1;
    ctl[B.STATE + image] = STATE.RETRY;
    ctl[B.WAIT_ARRAY + image] = this.boxes;
    ctl[B.WAIT_INDEX + image] = 1;
    ctl[B.WAIT_SEEN + image] = this.world.shared.boxes[1];
    const first = chooseOther(this.board, this.words, image);
    if (first === NOBODY) throw new Error('a scenario without actors');
    this.wake(first, GO.TURN);
    this.waitFor(B.LEFT, 1);
    return this.outcome(options.verbose);
  }

  private outcome(verbose: boolean): Outcome {
    const { ctl, made } = this.board;
    const lines = ctl[B.TEXT] > 0 ? readLines(this.board) : [];
    const told = lines.find((line) => line.kind === 'violation');
    let finding: Finding | null =
      told === undefined
        ? null
        : {
            kind: told.class ?? '',
            text: told.text,
            ...(told.step === undefined ? {} : { step: told.step }),
          };
    const known = ctl[B.KNOWN] === 1;
    if (told === undefined && !known) finding = this.quiescence();
    // A deadlock is met by all who wait, and by none of them at a step of its own.
    const late = finding?.kind === 'deadlock' || (this.window?.includes(finding?.step ?? '') ?? true);
    if (!late) finding = null;
    const schedule = Array.from({ length: ctl[B.MADE] }, (_, i) => ({ position: made[i * 2], actor: made[i * 2 + 1] }));
    return {
      finding,
      schedule,
      preemptions: ctl[B.PREEMPTIONS],
      positions: ctl[B.POSITION],
      steps: ctl[B.STEPS],
      lines: verbose ? lines.filter((line) => line.kind !== 'violation') : [],
      known,
      diverged: ctl[B.DIVERGED] === 1 || ctl[B.AT] < ctl[B.LENGTH],
    };
  }

  private quiescence(): Finding | null {
    if (this.zswap === null) return null;
    let finding: Finding | null = null;
    // A defect met while looking is a finding like any other.
    sync.setViolation((kind, text) => {
      finding ??= { kind, text };
      throw new Error(text);
    });
    try {
      endStage(this.zswap, this.stage);
      return checkQuiescence(this.world, this.zswap, this.stage);
    } catch (error) {
      return finding ?? { kind: 'exception', text: error instanceof Error ? error.message : String(error) };
    }
  }

  /** A finding that another scenario is for. */
  isBeside(outcome: Outcome): boolean {
    return outcome.finding !== null && this.beside.includes(outcome.finding.kind);
  }

  /** A search begins: no state is known. */
  forgetStates(): void {
    forgetKnown(this.board.known);
  }

  /** Notes the moves that were made at a state (moves.ts): runs that come to one of them end there. */
  noteMoves(state: number, moves: number): void {
    addKnown(this.board.known, state, moves);
  }

  /** What the last run could have done otherwise, in the order of its positions. */
  decisions(): Decision[] {
    const { ctl, decisions } = this.board;
    return Array.from({ length: ctl[B.DECISIONS] }, (_, i) => {
      const at = i * DECISION_WORDS;
      return {
        position: decisions[at],
        mask: decisions[at + 1],
        chosen: decisions[at + 2],
        preempts: decisions[at + 3] === 1,
        state: (decisions[at + 4] >>> 0) * (FINGERPRINT_LOW + 1) + decisions[at + 5],
      };
    });
  }

  /** Makes the words choices that can tell two orders apart, after what was seen so far; returns how many there are. */
  learn(): number {
    this.board.choice.fill(0);
    for (const word of this.racingWords()) this.board.choice[word] = 1;
    return this.racing.length;
  }

  /** The words that can tell two orders apart, after what was seen so far; asked after each run. */
  racingWords(): readonly number[] {
    const { ctl, touched, written, lockset } = this.board;
    if (ctl[B.LEARNED] === 0) return this.racing;
    ctl[B.LEARNED] = 0;
    this.racing = this.words.loud.filter((word) => {
      const actors = touched[word];
      return (actors & (actors - 1)) !== 0 && written[word] !== 0 && lockset[word] === 0;
    });
    return this.racing;
  }

  /** Bits of DIMENSIONS that the runs of this cell looked at. */
  get consulted(): number {
    return this.board.ctl[B.CONSULTED];
  }

  private wake(i: number, go: number): void {
    sync.unhooked.store(this.board.ctl, B.GO + i, go);
    sync.notify(this.board.ctl, B.GO + i);
  }

  private waitFor(word: number, value: number): void {
    const { ctl } = this.board;
    for (let waited = 0; ; ) {
      const seen = sync.unhooked.load(ctl, word);
      if (seen >= value) return;
      const before = performance.now();
      sync.sleep(ctl, word, seen, 1000);
      waited += performance.now() - before;
      if (waited > RUN_MS) throw new Error(`explorer: a run does not end (word ${word} is ${seen}, not ${value})`);
    }
  }

  async close(): Promise<void> {
    for (let i = 0; i < this.threads.length; i++) this.wake(i, GO.EXIT);
    await Promise.all(this.threads.map((thread) => thread.terminate()));
    this.leaveProcessor();
  }
}
