// The one declaration of every option: name, unit, bounds, default and the reason for them.
// From it come the check at start, the type `Config`, config/schema.json and config/OPTIONS.md (docs.ts).
// Invariant: defaults are in the notation of the file, so that what the reference shows can be pasted.
import { z } from 'zod';
import { EXPORT_BYTES_MAX, EXPORTS_MAX, LANES_MAX } from '../pool/limits.ts';
import { ALLOCATOR_DEFAULT, ALLOCATORS } from '../protocols/presets.ts';
import { STEP_LABELS } from '../protocols/steps.ts';
import {
  BUFFERS_MAX,
  BUFFERS_MIN,
  CONNECTIONS_MAX,
  DELAY_US_MAX,
  HANDSHAKE_MS_MIN,
  LEVEL_MAX,
  LEVEL_MIN,
  MEMCG_PATH_MAX,
  WAIT_MS_MAX,
} from './bounds.ts';
import { exportOptions } from './export_options.ts';
import {
  bool,
  byName,
  choice,
  choiceOrNull,
  duration,
  fileOrNull,
  group,
  groupOrNull,
  integer,
  laneCount,
  size,
  tcpAddress,
  text,
} from './fields.ts';
import { pool } from './pool_options.ts';
import { processGroup } from './process_options.ts';
import { protocol } from './protocol_options.ts';
import { shrinker, withPolicy } from './shrinker_options.ts';
import { superviseGroup } from './supervise_options.ts';
import { MIB, TIB } from './units.ts';

const listen = group(
  {
    unix: fileOrNull('Unix socket of the NBD server. null: none.').prefault('var/swap0.sock'),
    unixMode: choice(
      ['0600', '0660', '0666'],
      "Who may connect to the unix socket, and so read and write the guest's memory: the user that the server runs as, a group as well (unixGroup), or every local user (allowOthers).",
    ).prefault('0600'),
    unixGroup: groupOrNull(
      'Group of the unix socket, for unixMode 0660: that of a QEMU which is not root, say. Its folder has to let that group in; var/ does not.',
    ).prefault(null),
    allowOthers: bool('Allow unixMode 0666.').prefault(false),
    tcp: tcpAddress(
      'TCP address of the NBD server; port 0 picks a free one, shown in the ready line. null: none. NBD has no passwords: every local user reaches a loopback port, and other addresses need allowRemote.',
    ).prefault(null),
    allowRemote: bool(
      "Allow listen.tcp to be an address other than loopback. Whoever reaches it reads and writes the guest's memory.",
    ).prefault(false),
    maxConnections: integer(
      1,
      CONNECTIONS_MAX,
      'connections',
      'NBD connections of each listener at a time; a further one is refused. Each has its own, so that those of other users over TCP keep nobody from the unix socket. Half of them are divided evenly among the exports, at least one for each to have, the rest is for whoever comes first. As many again may be in their handshake; then the oldest of those, if it is older than a second, makes room for the next. Bounds the memory that clients can make the server hold.',
    ).prefault(100),
    handshakeTimeout: duration(
      HANDSHAKE_MS_MIN,
      WAIT_MS_MAX,
      'A client that has not finished its handshake by then is closed.',
    ).prefault('10s'),
  },
  'Where NBD clients connect. Sockets inherited by LISTEN_FDS replace unix and tcp.',
);

const compressor = group(
  {
    level: integer(
      LEVEL_MIN,
      LEVEL_MAX,
      'zstd level',
      'Level 1 is close to the fastest and packs well; negative levels are faster and larger, high ones cost tens of times the time on 4 KiB pages.',
    ).prefault(1),
  },
  'Compression, by zstd.',
);

const image = group(
  {
    direct: choice(
      ['auto', 'on', 'off'],
      'O_DIRECT on the image: auto takes it where the file system does, on insists. Swap must not refill the RAM that it emptied with page cache.',
    ).prefault('auto'),
    syncEvery: size(
      { min: MIB, max: TIB },
      'Without O_DIRECT: bytes written to an image between two calls of fdatasync, so that dirty page cache stays small.',
    ).prefault('64MiB'),
    buffers: integer(
      BUFFERS_MIN,
      BUFFERS_MAX,
      'pages of 4 KiB',
      'Buffers for pages on their way to the image: two fixed sets, for writeback and for WRITEs that the pool rejects. Several exports divide half of a set evenly, with two each at least; when an export can get no more, its pages wait.',
    ).prefault(1024),
  },
  'How images are written.',
);

const memcg = group(
  {
    'zswap.max': size(
      { min: 0, max: EXPORT_BYTES_MAX, wordMax: true },
      'Limit of compressed bytes of this memcg and all below it, as memory.zswap.max; one page of 4096 bytes may be above it, and what onRejectNoWriteback: raw keeps. 0: none but these is kept in the pool. The root has none.',
    ).prefault('max'),
    'zswap.writeback': bool(
      'May its pages be written back to the image, as memory.zswap.writeback: only if no memcg above it says false.',
    ).prefault(true),
  },
  'One memory cgroup. One that an export names, or that is above one, and that is not listed here has these defaults.',
);

const debug = group(
  {
    delay: byName(
      STEP_LABELS,
      integer(0, DELAY_US_MAX, 'µs', 'Delay at the step.'),
      `an object of step labels and integers from 0 to ${DELAY_US_MAX}`,
      {
        description: `Delays by protocol step ({ "W1": 1000 }), to widen a race on real traffic. Needs unsafe. Steps: ${STEP_LABELS.join(', ')}.`,
        unit: 'µs',
      },
    ).prefault({}),
    break: choiceOrNull(
      ['checksum', 'fence', 'early-reply', 'fsync'],
      'Take a safeguard out, to see that a test notices. checksum: pages are not compared with what was stored. fence: what a closed connection has left unread still lands. early-reply: a WRITE of a page is answered before it is stored. fsync: FLUSH is answered, and nothing is written or synced. Needs unsafe.',
    ).prefault(null),
    oracle: bool(
      'Check that each entry that is used is alive, overwrite what is freed, and keep checksums whatever pool.checksums says. Slow, for tests.',
    ).prefault(false),
  },
  'Instruments for tests and for the study of races.',
);

const faults = fileOrNull(
  'Fault plan that is in force from the start on (config/faults/README.md), for tests: errors, delays and lies of images, flipped bits, dropped connections and more, each as often as the plan says. zswapd fault apply, list and clear change it while the server runs. null: none.',
).prefault(null);

const controlGroup = group(
  {
    listen: fileOrNull('Unix socket of the control plane (HTTP), mode 0600. null: none.').prefault('var/zswapd.sock'),
  },
  'The control plane, which zswapd stats, swapoff, swapon, upgrade and ctl ask.',
);

const agents = group(
  {
    unix: fileOrNull(
      'Unix socket, mode 0600: for QEMU, which hands it to the guest as a serial port, say. null: none.',
    ).prefault(null),
    tcp: tcpAddress(
      'Loopback address, which a guest reaches at 10.0.2.2 of user networking; port 0 picks a free one, shown in stats. null: none.',
    ).prefault(null),
  },
  'Where agents of guests report whose their slots are (src/control/agent.md). It has no verbs of the control plane, and each agent needs the token of its export.',
);

const log = group(
  {
    level: choice(
      ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
      'Least level of the log lines on stderr.',
    ).prefault('info'),
  },
  'The log.',
);

const stop = group(
  {
    deadline: duration(
      0,
      WAIT_MS_MAX,
      'How long a stop waits for connections to end by themselves; after that they are cut, and what was stored is drained, which takes as long as the images do. A client that still receives or sends at any useful speed ends its largest request (32 MiB) in less; systemd allows 90 s for a stop before it has to be told to wait.',
    ).prefault('10s'),
  },
  'How the server stops.',
);

export const DEFAULT_EXPORTS = [{ name: 'swap0', size: '1GiB', image: 'var/swap0.img' }];
const exportsAllowed = `a list of 1 to ${EXPORTS_MAX} objects {name, size, image, ...}`;

export const configSchema = group(
  {
    $schema: z.string().meta({ description: 'JSON schema, for editors. Not read.' }).optional(),
    listen: listen.prefault({}),
    exports: z
      .array(exportOptions, { error: () => `is not a list, allowed: ${exportsAllowed}` })
      .min(1, { error: () => `is empty, allowed: ${exportsAllowed}` })
      .max(EXPORTS_MAX, { error: () => `has too many exports, allowed: ${exportsAllowed}` })
      .meta({ description: 'The devices that are served.', allowed: exportsAllowed })
      .prefault(DEFAULT_EXPORTS),
    pool: pool.prefault({}),
    compressor: compressor.prefault({}),
    lanes: laneCount(
      LANES_MAX,
      'Threads that serve connections. auto: 2, or 1 on a single core. 0: inline mode, everything on one thread, for tests and the smallest machines.',
    ).prefault('auto'),
    image: image.prefault({}),
    durability: choice(
      ['volatile', 'strict'],
      'volatile is for swap: FLUSH and FUA are not offered, and a killed server leaves a stale image. strict: a killed server loses nothing that was flushed.',
    ).prefault('volatile'),
    memcgs: z
      .record(text(0, MEMCG_PATH_MAX, 'Path of a memcg, such as guests.slice/a; / is the root.'), memcg)
      .meta({ description: 'Settings by memcg path.', allowed: 'an object of memcg paths' })
      .prefault({}),
    onRejectNoWriteback: choice(
      ['fail', 'raw'],
      'A page that the pool rejects in a memcg without writeback: fail the write, or keep it uncompressed up to pool.rawMax, which may then be above pool.max and above any zswap.max.',
    ).prefault('fail'),
    protocol: protocol.prefault({}),
    shrinker: shrinker.prefault({}),
    debug: debug.prefault({}),
    unsafe: bool('Allow settings that can lose or corrupt data on purpose.').prefault(false),
    faults,
    control: controlGroup.prefault({}),
    agents: agents.prefault({}),
    process: processGroup.prefault({}),
    log: log.prefault({}),
    stop: stop.prefault({}),
    supervise: superviseGroup.prefault({}),
  },
  'Configuration of zswapd.',
).transform(({ $schema: _editorOnly, ...options }) => {
  const { preset } = options.protocol;
  const { allocator = preset === null ? ALLOCATOR_DEFAULT : ALLOCATORS[preset] } = options.pool;
  return { ...options, pool: { ...options.pool, allocator }, shrinker: withPolicy(options.shrinker, preset) };
});

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/** A checked configuration: plain integers (bytes, milliseconds), absolute paths, deeply frozen. */
export type Config = DeepReadonly<z.output<typeof configSchema>>;
