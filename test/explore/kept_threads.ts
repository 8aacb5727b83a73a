/**
 * What the explorer needs of node:worker_threads, with threads that stay when an engine is closed and are another's next. A
 * thread takes 150 ms of a processor to start, most of it for modules that the copy of a canary shares with the code as it is.
 */
import { EventEmitter, once } from 'node:events';
import { isMainThread, Worker as NodeWorker, parentPort } from 'node:worker_threads';

interface Job {
  readonly url: string;
  readonly data: unknown;
}

/** In a thread: what its present engine has given it. */
export let workerData: unknown = null;

interface Kept {
  readonly thread: NodeWorker;
  jobs: number;
}

/** A module is never unloaded, and keeps the world of its engine, some 10 MB. */
const JOBS_MAX = 20;

const idle: Kept[] = [];

/** One part of a thread's life: from what it is given up to the end of the module that is run with that. */
export class Worker extends EventEmitter {
  private readonly kept: Kept;
  private readonly left: Promise<unknown>;

  constructor(url: URL, { workerData: data }: { workerData: unknown }) {
    super();
    this.kept = idle.pop() ?? { thread: new NodeWorker(new URL(import.meta.url)), jobs: 0 };
    const { thread } = this.kept;
    this.left = once(thread, 'message').then(() => {
      this.emit('online');
      return once(thread, 'message');
    });
    const job: Job = { url: url.href, data };
    thread.postMessage(job);
  }

  /** The engine has told the thread to go. */
  async terminate(): Promise<void> {
    await this.left;
    if (++this.kept.jobs < JOBS_MAX) idle.push(this.kept);
    else await this.kept.thread.terminate();
  }
}

/** The end of all threads that nobody has. */
export async function endThreads(): Promise<void> {
  for (const { thread } of idle.splice(0)) await thread.terminate();
}

if (!isMainThread) {
  const port = parentPort!;
  port.on('message', async ({ url, data }: Job) => {
    workerData = data;
    port.postMessage('online');
    await import(url);
    port.postMessage('left');
  });
}
