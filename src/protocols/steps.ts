/**
 * The labels of the numbered steps, as the protocols pass them to the façade: what `debug.delay` may name. A test
 * compares the list with the calls.
 */
export const STEP_LABELS = [
  ...['W1', 'W2', 'W3', 'W4', 'W5', 'fail'],
  ...['a', 'b', 'd', 'e', 'f', 'g'],
  ...['ST: insert', 'ST: erase'],
  ...['INV: erase', 'INV: walk', 'INV: clear'],
  ...['LD: get', 'LD: ref', 'LD: put'],
  ...['SO: area', 'SO: drain', 'SO: lru', 'SO: kill', 'SO: wait', 'SO: free tree'],
  ...['PF: lru del', 'PF: lru add'],
] as const;
