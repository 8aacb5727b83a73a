/** What a handshake is made from, how it keeps to its owner's pace, and what comes of it. */
import type { ExportInfo } from '../export_info.ts';

/** Options that announce a longer payload than this end the connection instead of being swallowed. */
export const MAX_OPTION_PAYLOAD = 64 * 1024;
/** Options that one connection may send. */
export const MAX_OPTIONS = 1024;
/** What the transmission phase needs to know. */
export interface Negotiated {
  readonly export: ExportInfo;
  readonly structured: boolean;
  /** Whether base:allocation is selected for this export; its context id is BASE_ALLOCATION_ID. */
  readonly baseAllocation: boolean;
}

/** `closed`: end the socket once the output is flushed. `dropped`: destroy it now. */
export type HandshakeState = 'options' | 'transmission' | 'closed' | 'dropped';

export interface HandshakeOptions {
  /** The first export is the default one, chosen by an empty name. `checkExports` tells whether the list is valid. */
  readonly exports: readonly ExportInfo[];
  readonly write: (bytes: Uint8Array) => void;
  /** Whether the server is stopping; then nothing but ABORT succeeds. */
  readonly stopping?: () => boolean;
  /**
   * Called when a client has chosen an export, before it is told that it has it. Why it can't have it, or null; who is refused
   * may choose again.
   */
  readonly open?: (info: ExportInfo) => string | null;
  /** Whether NBD_OPT_LIST may show the exports; yes unless set to false. */
  readonly listing?: boolean;
  /** How much may be done at once; all there is unless given. */
  readonly pace?: HandshakePace;
}

/** Lets the owner of many handshakes do a bit of each. */
export interface HandshakePace {
  /** Asked before each option, and before each part of a list. */
  readonly mayGoOn: boolean;
  /** Work was done that took about so many microseconds. */
  spend(units: number): void;
}
