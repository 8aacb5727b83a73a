/** Bounds of options that are not a matter of how the pool is laid out (pool/limits.ts has those), and where they come from. */
/** Names stand in logs, in URIs and in tables; NBD itself would take 4096 bytes. */
export const NAME_MAX = 255;
/** PATH_MAX of the system, without the zero at its end. */
export const MEMCG_PATH_MAX = 4095;
/** NBD_MAX_STRING of the protocol: a longer text could not be sent. */
export const DESCRIPTION_MAX = 4096;
/** A descriptor each, of as many as a system gives a process by default or after one line of its unit file. */
export const CONNECTIONS_MAX = 10_000;
/** Ten minutes: nobody waits longer on purpose, and a timer takes it. */
export const WAIT_MS_MAX = 600_000;
/** A client in the same room needs a few milliseconds; less would turn busy ones away. */
export const HANDSHAKE_MS_MIN = 100;
/** What zstd offers from the fastest to the one before its "ultra" levels, which need far more memory. */
export const LEVEL_MIN = -7;
export const LEVEL_MAX = 19;
/** The least that sorts into runs at all, and 256 MiB for each of the two sets. */
export const BUFFERS_MIN = 16;
export const BUFFERS_MAX = 65_536;
/** As many victims as a turn of the shrinker can take and stay at a few milliseconds. */
export const BATCH_MAX = 1024;
/** A run is one writev, which takes 1024 pieces (IOV_MAX); half of it is 2 MiB, and disks gain nothing from more. */
export const RUN_PAGES_MAX = 512;
/** Ten seconds: twice what a thread waits for a lock before it calls the process wedged (STUCK_MS). */
export const DELAY_US_MAX = 10_000_000;
/** As the kernel has them (linux/oom.h). */
export const OOM_SCORE_ADJ_MIN = -1000;
export const OOM_SCORE_ADJ_MAX = 1000;
