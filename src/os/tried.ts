/** What may be refused without harm: a look at something of the system that need not be there. */
import { errorCode } from './exit_error.ts';

/** null where the system refuses: what is not there, or where we can't look, tells nothing. */
export function tried<T>(look: () => T): T | null {
  try {
    return look();
  } catch (error) {
    if (errorCode(error) === '') throw error;
    return null;
  }
}
