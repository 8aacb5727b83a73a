// Starts the roles of pool_worker.ts. What a role was given and what it answers are plain data; shared arrays stay shared.
import { Worker } from 'node:worker_threads';
import type { ObjectMemory } from '#src/pool/allocator/index.js';
import type { Zsmalloc } from '#src/pool/allocator/zsmalloc.js';
import type { Bits } from '#src/pool/bits.js';
import type { Claims } from '#src/pool/claims.js';
import type { SlotTable } from '#src/pool/slot_table.js';
import type { Mailboxes, Ring } from '#src/shm/mailbox.js';

export interface Roles {
  lock: { words: Int32Array; rounds: number };
  hold: { words: Int32Array };
  change: { words: Int32Array };
  pins: { table: SlotTable; users: Bits; claims: Claims; boxes: Mailboxes; plain: Int32Array; rounds: number };
  objects: { zs: Zsmalloc; handles: number[]; length: number; stop: Int32Array };
  churn: { zs: ObjectMemory; first: number; count: number; rounds: number };
  ring: { ring: Ring; boxes: Mailboxes; to: number; count: number };
}

export interface Job<K extends keyof Roles> {
  readonly role: K;
  readonly data: Roles[K];
  readonly thread: number;
  /** Threads that arrived, and how many must have before any begins. */
  readonly gate: Int32Array | null;
}

/** Resolves with the role's answer; rejects when the role threw. */
export function start<K extends keyof Roles>(
  role: K,
  data: Roles[K],
  thread = 2,
  gate: Int32Array | null = null,
): Promise<number> {
  const job: Job<K> = { role, data, thread, gate };
  return answerOf(new Worker(new URL('./pool_worker.js', import.meta.url), { workerData: job }));
}

/** Starts the role in several threads, which begin at the same moment. */
export function startAll<K extends keyof Roles>(
  role: K,
  threads: readonly number[],
  data: Roles[K],
): Promise<number[]> {
  const gate = new Int32Array(new SharedArrayBuffer(8));
  gate[1] = threads.length;
  return Promise.all(threads.map((thread) => start(role, data, thread, gate)));
}

/** The one message of a worker, once it has exited. */
export function answerOf<T>(worker: Worker): Promise<T> {
  return new Promise((resolve, reject) => {
    let answer: { value: T } | null = null;
    worker.on('message', (value: T) => {
      answer = { value };
    });
    worker.on('error', reject);
    worker.on('exit', (code) => {
      if (answer === null) reject(new Error(`worker exited with ${code} and no answer`));
      else resolve(answer.value);
    });
  });
}
