/**
 * The loop that a thread's work runs in, handed in: Node's in service; an explorer has one of its own, in which it decides
 * when a task or a timer gets its turn.
 */

export interface Timer {
  cancel(): void;
}

export interface Loop {
  /** Runs `task` when the caller has returned, before anything that the system reports. */
  soon(task: () => void): void;
  /** Runs `task` in a later turn: what the system has reported by then comes first. */
  defer(task: () => void): void;
  /** Runs `task` once, `ms` milliseconds from now or later. */
  after(ms: number, task: () => void): Timer;
  /** Runs `task` every `ms` milliseconds, or more rarely. */
  every(ms: number, task: () => void): Timer;
}

export const NODE_LOOP: Loop = {
  soon: queueMicrotask,
  defer: (task) => {
    setImmediate(task);
  },
  after(ms, task) {
    const timer = setTimeout(task, ms);
    return { cancel: () => clearTimeout(timer) };
  },
  every(ms, task) {
    const timer = setInterval(task, ms);
    return { cancel: () => clearInterval(timer) };
  },
};
