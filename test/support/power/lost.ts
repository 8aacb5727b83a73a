/**
 * What a disk may have after its power was lost at a place of its log: all that lasts there, and of the rest of what had begun
 * any part. Blocks of 4 KiB come and go one by one, and are torn between sectors of 512 bytes; sizes, attributes and
 * names too, each whole. A disk that keeps a journal loses no change of names and attributes without all later ones: that is
 * a way to draw, and promises less than it may.
 */
import type { Random } from '../random.ts';
import type { BytesEffect, DiskFile, DiskLog, Effect } from './disk_log.ts';

const BLOCK = 4096;
const SECTOR = 512;
const SECTORS = BLOCK / SECTOR;
/** Of so many changes of names, sizes and attributes all subsets are taken; of more than that, those that a journal leaves. */
const ALL_SUBSETS = 6;

export interface LostFile {
  readonly file: DiskFile;
  size: number;
  /** As far as it has been written. */
  bytes: Buffer;
  readonly marks: Map<string, Buffer>;
}

/** By path. */
export type LostState = Map<string, LostFile>;

export const lasts = ({ safe }: Effect, place: number): boolean => safe < place;
const begun = ({ begin }: Effect, place: number): boolean => begin < place;

/** Of the effects that had begun: which last, and which may be lost. */
export function undecided(log: DiskLog, place: number): Effect[] {
  return log.effects.filter((effect) => begun(effect, place) && !lasts(effect, place));
}

/** A state that is drawn. */
export function draw(log: DiskLog, place: number, random: Random): LostState {
  const share = [0, 0.1, 0.5, 0.9, 1][random.below(5)];
  const torn = random.chance(0.5) ? 0.2 : 0;
  const open = undecided(log, place);
  const changes = open.filter(({ kind }) => kind !== 'bytes');
  const isJournal = random.chance(0.5);
  const first = random.below(changes.length + 1);
  const kept = new Set(changes.filter((_, i) => (isJournal ? i < first : random.chance(0.5))));
  const pieces = (effect: BytesEffect): BytesEffect[] => drawBlocks(effect, random, share, torn);
  return build(
    log,
    chosen(log, place, (effect) => (effect.kind === 'bytes' ? pieces(effect) : kept.has(effect) ? [effect] : [])),
  );
}

function drawBlocks(effect: BytesEffect, random: Random, share: number, torn: number): BytesEffect[] {
  const pieces: BytesEffect[] = [];
  const take = (from: number, end: number): void => {
    const bytes = effect.bytes.subarray(from - effect.at, end - effect.at);
    pieces.push({ ...effect, at: from, bytes });
  };
  const last = effect.at + effect.bytes.length;
  for (let from = effect.at; from < last; ) {
    const end = Math.min(last, from - (from % BLOCK) + BLOCK);
    if (random.chance(torn)) {
      const mask = random.below(2 ** SECTORS);
      for (let at = from, i = 0; at < end; i++) {
        const next = Math.min(end, at - (at % SECTOR) + SECTOR);
        if ((mask >> i) & 1) take(at, next);
        at = next;
      }
    } else if (random.chance(share)) take(from, end);
    from = end;
  }
  return pieces;
}

/** What lasts, and what `open` leaves of the rest, in the order in which it began. */
function chosen(log: DiskLog, place: number, open: (effect: Effect) => readonly Effect[]): Effect[] {
  return log.effects.flatMap((effect) =>
    lasts(effect, place) ? [effect] : begun(effect, place) ? [...open(effect)] : [],
  );
}

/** All that has been done, as after a kill. */
export function nothingLost(log: DiskLog): LostState {
  return build(log, log.effects);
}

/** `without`: a file whose bytes are not looked at, but how long it is. */
function build(log: DiskLog, effects: readonly Effect[], without?: DiskFile): LostState {
  const files = new Map<DiskFile, LostFile>();
  const lost = (file: DiskFile): LostFile => {
    const found = files.get(file);
    if (found !== undefined) return found;
    const bytes = file === without ? Buffer.alloc(0) : Buffer.from(file.bytes);
    const made = { file, size: file.bytes.length, bytes, marks: new Map(file.marks) };
    files.set(file, made);
    return made;
  };
  const names = new Map(log.before);
  for (const effect of effects) {
    if (effect.kind === 'names') {
      for (const [path, file] of effect.names) {
        if (file === null) names.delete(path);
        else names.set(path, file);
      }
    } else change(lost(effect.file), effect, without);
  }
  return new Map([...names].map(([path, file]) => [path, finished(lost(file), without)]));
}

function change(lost: LostFile, effect: Exclude<Effect, { kind: 'names' }>, without?: DiskFile): void {
  if (effect.kind === 'mark') {
    if (effect.value === null) lost.marks.delete(effect.name);
    else lost.marks.set(effect.name, effect.value);
  } else if (effect.kind === 'size') {
    lost.size = effect.size;
    if (lost.bytes.length > effect.size) lost.bytes = lost.bytes.subarray(0, effect.size);
  } else {
    const end = effect.at + effect.bytes.length;
    lost.size = Math.max(lost.size, end);
    if (lost.file === without) return;
    if (lost.bytes.length < end) lost.bytes = Buffer.concat([lost.bytes, Buffer.alloc(end - lost.bytes.length)]);
    effect.bytes.copy(lost.bytes, effect.at);
  }
}

/** What was never written of a file reads as zeros. */
function finished(lost: LostFile, without?: DiskFile): LostFile {
  if (lost.file === without || lost.bytes.length === lost.size) return lost;
  lost.bytes = Buffer.concat([lost.bytes, Buffer.alloc(lost.size - lost.bytes.length)]);
  return lost;
}

/**
 * The states of everything but the bytes of `image` that there may be at a place: every subset of what may be lost, where
 * that is not much. A file of no more than a block is there, or not, or zeros.
 */
export function statesAround(log: DiskLog, place: number, image: DiskFile | undefined): LostState[] {
  const decides = (effect: Effect): boolean => effect.kind !== 'bytes' || effect.file !== image;
  const open = undecided(log, place).filter(decides);
  return subsets(open).map((kept) =>
    build(log, chosen(log, place, (effect) => (kept.has(effect) ? [effect] : [])).filter(decides), image),
  );
}

function subsets(open: readonly Effect[]): Set<Effect>[] {
  if (open.length > ALL_SUBSETS)
    return Array.from({ length: open.length + 1 }, (_, end) => new Set(open.slice(0, end)));
  return Array.from({ length: 2 ** open.length }, (_, mask) => new Set(open.filter((_, i) => (mask >> i) & 1)));
}
