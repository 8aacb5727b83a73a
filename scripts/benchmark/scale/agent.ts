/**
 * An agent as the server hears it, with nothing of a guest behind it: it names groups and says whose each page is, as fast as it
 * is answered. Of the agent that runs in guests it has the connection, the clock and the format; what that reads from a kernel
 * comes from variants.ts here.
 */
import { randomBytes } from 'node:crypto';
import { Clock } from '#src/agent/clock.js';
import { type Answer, Link } from '#src/agent/link.js';
import { encodeBatch, FLAG, type Name, type Records } from '#src/agent/wire.js';

const NO_RECORDS: Records = {
  count: 0,
  slot: new Uint32Array(0),
  slots: new Uint32Array(0),
  cgroup: new Float64Array(0),
  time: new Float64Array(0),
};

/** What the server said to a batch. */
interface Applied {
  readonly applied: number;
  readonly moved: number;
}

export class ScaleAgent {
  private readonly link: Link;
  private readonly clock = new Clock();
  private readonly session = randomBytes(8).readBigUInt64LE() | 1n;
  private sequence = 0;
  /** Of all batches so far. */
  bytes = 0;

  constructor(socket: string, exportName: string, token: string) {
    this.link = new Link({ path: socket }, exportName, token);
  }

  /** The server's time before anything is said, and after what was before: what it is told has a bound by that. */
  async connect(): Promise<void> {
    const { asked, answered, body } = checked(await this.link.ask());
    this.clock.exchanged(asked, answered, Number(body.now));
  }

  async name(names: readonly Name[]): Promise<void> {
    await this.say(names, NO_RECORDS, 0);
  }

  /** The pages are the groups' from now on: WRITEs to come are stored for them. */
  charge(records: Records): Promise<Applied> {
    return this.say([], records, 0);
  }

  /** They are seen there: what is stored already changes hands. */
  seen(records: Records): Promise<Applied> {
    return this.say([], records, FLAG.seen);
  }

  close(): void {
    this.link.close();
  }

  private async say(names: readonly Name[], records: Records, flags: number): Promise<Applied> {
    const { clock, session, sequence } = this;
    await this.connect();
    records.time.fill(clock.comparedAt - 1);
    const { offset, error } = clock.bound(records);
    const header = { flags, session, sequence, clockOffset: offset, error, lost: 0 };
    const bytes = encodeBatch(header, names, records);
    const { body } = checked(await this.link.ask(bytes));
    const { applied, moved, unknown, unnamed } = body;
    if (unknown !== 0 || unnamed !== 0 || applied !== records.count) {
      throw new Error(`the server applied ${applied} of ${records.count}, unknown ${unknown}, unnamed ${unnamed}`);
    }
    this.sequence++;
    this.bytes += bytes.length;
    return { applied: Number(applied), moved: Number(moved) };
  }
}

function checked(answer: Answer): Answer {
  if (answer.status === 200) return answer;
  throw new Error(`the server answers the agent ${answer.status}: ${JSON.stringify(answer.body)}`);
}
