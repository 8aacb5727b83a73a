/** Waiting for one message of a kind. */
interface OnceOf<M extends { type: string }> {
  next<T extends M['type']>(type: T): Promise<Extract<M, { type: T }>>;
  deliver(message: M): void;
}

/** Promises for the next message of a type; messages that nobody waits for are not kept. */
export function onceOf<M extends { type: string }>(): OnceOf<M> {
  const waiting = new Map<string, ((message: M) => void)[]>();
  return {
    next<T extends M['type']>(type: T): Promise<Extract<M, { type: T }>> {
      return new Promise((resolve) => {
        const others = waiting.get(type) ?? [];
        waiting.set(type, [...others, (message) => resolve(message as Extract<M, { type: T }>)]);
      });
    },
    deliver(message) {
      const found = waiting.get(message.type) ?? [];
      waiting.delete(message.type);
      for (const resolve of found) resolve(message);
    },
  };
}
