/**
 * The threads of a server: lanes and the shrinker as workers, or, in inline mode, as roles on this thread. A worker that
 * fails or ends unasked stops the process: no repair, no guess.
 */
import { Worker } from 'node:worker_threads';
import { THREAD_LANE0, THREAD_SHRINKER } from '../pool/limits.ts';
import type { FromLane, FromShrinker, ThreadData, ToLane, ToShrinker } from './messages.ts';
import { onceOf } from './wait.ts';

interface Role<To, From> {
  send(message: To): void;
  /** The next message of this type. */
  next<T extends From extends { type: infer K } ? K : never>(type: T): Promise<Extract<From, { type: T }>>;
  /** Ends the thread. */
  end(): Promise<void>;
}

export interface LaneHandle extends Role<ToLane, FromLane> {
  /** Open ones, and those of them that it has not greeted yet. */
  connections: number;
  ungreeted: number;
}

export interface Threads {
  readonly lanes: readonly LaneHandle[];
  readonly shrinker: Role<ToShrinker, FromShrinker>;
}

interface ThreadOptions {
  readonly data: Omit<ThreadData, 'thread'>;
  readonly onFault: (error: Error) => void;
  readonly onShrinker: (message: FromShrinker) => void;
  /** What the lanes say of their connections. */
  readonly onLane: (message: FromLane) => void;
}

/** Starts all threads and waits until they are ready, so that none boots while a client waits. Without lanes it is inline mode. */
export async function startThreads(o: ThreadOptions): Promise<Threads> {
  const { shared } = o.data;
  // Loaded late: only a server that has no other threads has the roles on this one.
  const inline = shared.settings.lanes === 0 ? await inlineRoles() : null;
  const shrinkerData: ThreadData = { ...o.data, thread: THREAD_SHRINKER };
  const shrinker: Role<ToShrinker, FromShrinker> = inline
    ? inlineRole((post) => new inline.ShrinkerRole(shrinkerData, post), o.onShrinker)
    : workerRole('shrinker', { role: 'shrinker', data: shrinkerData }, o.onFault, o.onShrinker);
  const lanes: LaneHandle[] = [];
  for (let i = 0; i < shared.answers.length; i++) {
    const data: ThreadData = { ...o.data, thread: THREAD_LANE0 + i };
    const listen = (message: FromLane): void => {
      if (message.type === 'ended') lanes[i].connections--;
      else if (message.type === 'greeted') lanes[i].ungreeted--;
      o.onLane(message);
    };
    const role: Role<ToLane, FromLane> = inline
      ? inlineRole((post) => new inline.LaneRole(data, post), listen)
      : workerRole(`lane ${i}`, { role: 'lane', data }, o.onFault, listen);
    lanes.push(Object.assign(role, { connections: 0, ungreeted: 0 }));
  }
  await Promise.all([shrinker.next('ready'), ...lanes.map((lane) => lane.next('ready'))]);
  return { lanes, shrinker };
}

async function inlineRoles() {
  const { LaneRole } = await import('./lane_role.ts');
  const { ShrinkerRole } = await import('./shrinker_role.ts');
  return { LaneRole, ShrinkerRole };
}

function workerRole<To, From extends { type: string }>(
  name: string,
  workerData: unknown,
  onFault: (error: Error) => void,
  listen: (message: From) => void,
): Role<To, From> {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData, name, execArgv: [] });
  const waiting = onceOf<From>();
  let ending = false;
  worker.on('message', (message: From) => {
    waiting.deliver(message);
    listen(message);
  });
  worker.on('error', (error) =>
    onFault(new Error(`${name}: ${error instanceof Error ? error.stack : error}`, { cause: error })),
  );
  worker.on('exit', (code) => {
    if (!ending) onFault(new Error(`${name} ended unasked with code ${code}`));
  });
  return {
    send: (message) => worker.postMessage(message),
    next: waiting.next,
    async end() {
      ending = true;
      await worker.terminate();
    },
  };
}

function inlineRole<To, From extends { type: string }>(
  make: (post: (message: From) => void) => { receive(message: To): void },
  listen: (message: From) => void,
): Role<To, From> {
  const waiting = onceOf<From>();
  // Messages arrive in a later turn, as from a thread, so that nobody is called back from his own call.
  const role = make((message) =>
    setImmediate(() => {
      waiting.deliver(message);
      listen(message);
    }),
  );
  return { send: (message) => role.receive(message), next: waiting.next, end: async () => {} };
}
