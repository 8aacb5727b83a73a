/** Sessions that have shown a fault, each with what it was. They are played before any new one is made. */
import type { Session } from './session.ts';

export const KEPT: readonly { readonly fault: string; readonly session: Session }[] = [];
