/**
 * How fast stored pages change owners: an agent says of every page that it is seen in the next group, batch after batch. The server
 * counts what has moved, the agent what it has sent, and both have to agree.
 */
import { ownerBatches } from './batches.ts';
import { agentNumbers, type ScaleServer } from './server.ts';
import type { Variant } from './variants.ts';

export interface OwnerChanges {
  /** Pages that had another owner afterwards, a second. */
  readonly perSecond: number;
  /** On the agent's way: of whole batches, over the changes that they brought. */
  readonly bytesPerChange: number;
}

/** Of the first export, for so long, and to the end of a batch. */
export async function changeOwners(
  server: ScaleServer,
  variant: Variant,
  dataBytes: number,
  seconds: number,
): Promise<OwnerChanges> {
  const agent = server.agents[0]!;
  const before = await server.stats();
  const bytesBefore = agent.bytes;
  let sent = 0;
  // What the batches hold is made before the clock runs; it is the agent's work, and its kernel's.
  const rounds = [1, 2].map((round) => [...ownerBatches(variant, dataBytes, 0, round)]);
  const startedAt = performance.now();
  const elapsed = (): number => (performance.now() - startedAt) / 1000;
  for (let round = 0; elapsed() < seconds; round++) {
    for (const records of rounds[round % rounds.length]!) {
      sent += (await agent.seen(records)).moved;
      if (elapsed() >= seconds) break;
    }
  }
  const took = elapsed();
  const after = await server.stats();
  const added = (name: string): number => agentNumbers(after, name)[0]! - agentNumbers(before, name)[0]!;
  const moved = added('moved');
  if (moved !== sent || moved === 0)
    throw new Error(`${moved} pages changed owners, and the agent was told of ${sent}`);
  if (added('bytes') !== agent.bytes - bytesBefore)
    throw new Error('the server counts other bytes than the agent sent');
  return { perSecond: moved / took, bytesPerChange: added('bytes') / moved };
}
