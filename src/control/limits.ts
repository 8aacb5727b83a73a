/** Bounds of the control plane that its clients know as well. */

/** How many the control socket serves at a time; it closes others without a word. */
export const CONTROL_CONNECTIONS = 16;

/**
 * How long one write to memory.reclaim may take, in milliseconds; then it is EAGAIN, whatever has left by then. The kernel
 * has no such bound, and tries until a signal comes.
 */
export const RECLAIM_DEADLINE_MS = 30_000;

/**
 * Writes to memory.reclaim under way at a time, each of which keeps its connection; further ones are EAGAIN at once. So
 * there is always a connection left for a question, also while an image stalls and none of them comes to an end.
 */
export const RECLAIMS_MAX = 12;
