/** What puts load on the server in a soak: the driver with its own connections, or a guest. */
import type { Ledger } from './ledger.ts';
import type { Check } from './verdict.ts';

export interface Load {
  readonly ledger: Ledger;
  /** Slots that it knows the content of. */
  readonly slots: number;
  readonly unsureSlots: number;
  /** What it threw: a fault of the soak itself. */
  readonly failure: unknown;
  /** Between `stop` and the end of what runs, at most. */
  readonly stopMs: number;
  start(): void;
  /** Resolves when nothing is under way. */
  stop(): Promise<void>;
  /** Nobody waits for the server any more: it is gone for good. */
  giveUp(): void;
  /** Has what was acknowledged made durable, where that is offered; false where it is refused. */
  flush(): Promise<boolean>;
  /** The server is ended on purpose: until `crashed`, what is lost is no trouble. */
  expectLoss(): void;
  /** It was killed, and serves again. */
  crashed(): void;
  /** It was killed, what it had was discarded, and it serves again: zeros. */
  emptied(): void;
  /** Why it hangs, if it does. `sinceMs`: since when everything is to go well. */
  hangs(sinceMs: number): string | null;
  /** Reads every slot, and answers those that could not be read. */
  readBack(signal: AbortSignal): Promise<readonly number[]>;
  /** Whether a slot that can't be read takes a new page, and gives it back. */
  mend(slot: number): Promise<boolean>;
  /** Says goodbye to the server. */
  close(): Promise<void>;
  /** Holds the image that a clean stop has left against what was written; answers how many slots. */
  verifyImage(path: string): number;
  /** Whether all was tried that it can do. */
  checks(): Check[];
}
