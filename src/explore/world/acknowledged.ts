/**
 * The record of acknowledged data: which versions a reader of each slot may see now.
 *
 *   may[slot]      bit v: version v is a right answer   pending[slot]  bit v: a write of v is under way
 *   a write begins:        its version may be seen      it is acknowledged: only it and what is under way may be
 *   it fails:              old and new may be seen      a trim is a write of version 0, zeros
 *
 * Of two writes that were under way at the same moment either may have been the last, whichever was answered first;
 * beside[slot, v] are those that met v.
 *
 * A WRITE of a part makes of each version that may be right another one, that with the part in it. met[slot] are those that
 * came or were under way while it was: they may be in it, or over it.
 *
 *   flushed[slot]  what a kill may leave on the disk, since a FLUSH of the slot was answered: what was right since it was
 *                  sent, and all that was begun later; 0 before, and after a failed image write, until the next one is answered
 *
 * A read may see whatever was right at some moment between its start and its end: what becomes right meanwhile is added
 * to what the reader may see.
 */
import { ACTORS_MAX } from '../run_state.ts';
import { MIXED, nameOf, placeOf, READ_MAX, type Shadow, VERSIONS } from './world.ts';

/** `connection`: who sends it; several may send the same version. */
export function beginWrite(s: Shadow, slot: number, version: number, connection: number): void {
  const place = placeOf(slot);
  const { [place]: others } = s.pending;
  s.beside[place * VERSIONS + version] = others;
  for (let v = 0; v < VERSIONS; v++) {
    if (((others >>> v) & 1) === 1) s.beside[place * VERSIONS + v] |= 1 << version;
  }
  s.owners[place * VERSIONS + version] |= 1 << connection;
  s.pending[place] |= 1 << version;
  allow(s, slot, 1 << version);
  if (s.part[place] === 0) return;
  s.met[place] |= 1 << version;
  s.beside[place * VERSIONS + version] |= mixed(1 << version);
  allow(s, slot, mixed(1 << version));
}

export function endWrite(s: Shadow, slot: number, version: number, connection: number, ok: boolean): void {
  if (!disown(s, slot, version, connection)) return;
  const place = placeOf(slot);
  if (!ok) return;
  const right = (1 << version) | s.pending[place] | (s.may[place] & s.beside[place * VERSIONS + version]);
  s.may[place] = s.part[place] === 0 ? right : right | mixed(right);
}

/** A WRITE of a part of the slot begins; one at a time. */
export function beginPart(s: Shadow, slot: number): void {
  const place = placeOf(slot);
  s.part[place] = 1;
  s.met[place] = s.pending[place];
  for (let v = 0; v < MIXED; v++) {
    if (((s.pending[place] >>> v) & 1) === 1) s.beside[place * VERSIONS + v] |= mixed(1 << v);
  }
  allow(s, slot, mixed(s.may[place]));
}

export function endPart(s: Shadow, slot: number, ok: boolean): void {
  const place = placeOf(slot);
  s.part[place] = 0;
  if (ok) s.may[place] = mixed(s.may[place]) | (s.may[place] & s.met[place]);
}

/** The versions with a part in each of them. */
function mixed(versions: number): number {
  const whole = (1 << MIXED) - 1;
  return ((versions & whole) << MIXED) | (versions & ~whole);
}

/** The client gave the connection up, and sends again what was unanswered: what the old one still does is wrong. */
export function abandon(s: Shadow, connection: number): void {
  for (let at = 0; at < s.owners.length; at++) disown(s, Math.floor(at / VERSIONS), at % VERSIONS, connection);
}

/** `connection` has no such write under way any more; false if it had none. */
function disown(s: Shadow, slot: number, version: number, connection: number): boolean {
  const place = placeOf(slot);
  const at = place * VERSIONS + version;
  if (((s.owners[at] >>> connection) & 1) === 0) return false;
  s.owners[at] &= ~(1 << connection);
  if (s.owners[at] === 0) s.pending[place] &= ~(1 << version);
  return true;
}

/** `which`: of the slots that the actor reads at once. */
export function beginRead(s: Shadow, actor: number, slot: number, which = 0): void {
  s.reading[actor * READ_MAX + which] = slot + 1;
  s.seen[actor * READ_MAX + which] = s.may[placeOf(slot)];
}

/** The versions that have been right since the read began. */
export function rightOf(s: Shadow, actor: number, which = 0): number {
  return s.seen[actor * READ_MAX + which];
}

/** True if the version read was right at some moment of the read. */
export function endRead(s: Shadow, actor: number, version: number, which = 0): boolean {
  s.reading[actor * READ_MAX + which] = 0;
  return version >= 0 && ((rightOf(s, actor, which) >>> version) & 1) === 1;
}

/** A FLUSH that covers the slot is answered. `right`: versions that were right when it was sent, or became so since. */
export function flushed(s: Shadow, slot: number, right: number): void {
  const place = placeOf(slot);
  // One that was sent earlier and is answered later takes nothing back.
  s.flushed[place] = s.flushed[place] === 0 ? right : s.flushed[place] & right;
}

/** What the image holds of the slot may be torn. */
export function torn(s: Shadow, slot: number): void {
  s.flushed[placeOf(slot)] = 0;
}

/** Whether a kill may leave this version on the disk. */
export function mayLeave(s: Shadow, slot: number, version: number): boolean {
  const mask = s.flushed[placeOf(slot)];
  return mask === 0 || (version >= 0 && ((mask >>> version) & 1) === 1);
}

/** For the check at the end, when nothing is under way. */
export function isRight(s: Shadow, slot: number, version: number): boolean {
  return version >= 0 && ((s.may[placeOf(slot)] >>> version) & 1) === 1;
}

export function rightVersions(mask: number): string {
  const versions: string[] = [];
  for (let v = 0; v < VERSIONS; v++) if (((mask >>> v) & 1) === 1) versions.push(nameOf(v));
  return versions.join(' or ');
}

function allow(s: Shadow, slot: number, mask: number): void {
  const place = placeOf(slot);
  s.may[place] |= mask;
  if (s.flushed[place] !== 0) s.flushed[place] |= mask;
  for (let i = 0; i < ACTORS_MAX * READ_MAX; i++) if (s.reading[i] === slot + 1) s.seen[i] |= mask;
}
