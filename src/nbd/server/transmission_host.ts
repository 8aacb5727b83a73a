/** What a transmission is made from, and what it asks of its connection. */
import type { ConnectionCounters } from './counters.ts';
import type { ConnectionFence, Device } from './device.ts';
import type { Negotiated } from './handshake.ts';
import type { Inbox } from './inbox.ts';
import type { ReplyMishaps } from './mishaps.ts';
import type { Outbox } from './outbox.ts';
import type { TurnBudget } from './turn_budget.ts';

export interface TransmissionHost {
  readonly stopping: boolean;
  /** Asks for `run` in a later turn; may be called any number of times. */
  kick(): void;
  /** No byte shall be read from the socket any more. */
  stopReading(): void;
  /** Nothing is left to do: send what is in the outbox and close. */
  finish(): void;
  /** Close at once. */
  cut(): void;
  /** The last request that the device had was released, after the connection had ended. */
  drained(): void;
}

export interface TransmissionOptions {
  readonly host: TransmissionHost;
  readonly device: Device;
  readonly negotiated: Negotiated;
  readonly inbox: Inbox;
  readonly outbox: Outbox;
  readonly fence: ConnectionFence | null;
  readonly counters: ConnectionCounters;
  readonly budget: TurnBudget;
  /** At a stop, what has not begun is left without an answer. */
  readonly hangsUp: boolean;
  readonly mishaps?: ReplyMishaps;
}
