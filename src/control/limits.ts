/** Bounds of the control plane that its clients know as well. */

/** How many the control socket serves at a time; it closes others without a word. */
export const CONTROL_CONNECTIONS = 16;
