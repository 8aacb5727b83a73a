// The declaration of one export, as schema.ts has those of all other options.
import { z } from 'zod';
import { RANGES_MAX } from '../pool/attribution.ts';
import { EXPORT_BYTES_MAX, PAGE_SIZE } from '../pool/limits.ts';
import { DESCRIPTION_MAX, MEMCG_PATH_MAX, NAME_MAX } from './bounds.ts';
import { choice, duration, file, fileOrNull, group, size, text } from './fields.ts';

const DAY_MS = 86_400_000;

const slotRange = group(
  {
    offset: size({ min: 0, max: EXPORT_BYTES_MAX, multiple: PAGE_SIZE }, 'Where on the device the range begins.'),
    size: size({ min: PAGE_SIZE, max: EXPORT_BYTES_MAX, multiple: PAGE_SIZE }, 'Bytes of the range.'),
    memcg: text(0, MEMCG_PATH_MAX, 'Path of the memory cgroup that pages of the range are charged to.'),
  },
  'Slots that have a memory cgroup of their own.',
);

const rangesAllowed = `up to ${RANGES_MAX} ranges of all exports together`;

export const exportOptions = group(
  {
    name: text(1, NAME_MAX, 'Export name, as the client asks for it.'),
    size: size({ min: PAGE_SIZE, max: EXPORT_BYTES_MAX, multiple: PAGE_SIZE }, 'Size of the device.'),
    image: file(
      'Raw image of the device: a regular file (made sparse where it is missing and its folder exists) or a block device. A file has one name: no second hard link, and no bind mount of the file alone.',
    ),
    memcg: text(
      0,
      MEMCG_PATH_MAX,
      "Path of the memory cgroup that the export's pages are charged to, such as guests.slice/a. / is the root. Without it: the export's name.",
    ).optional(),
    attribution: choice(
      ['export', 'ranges', 'agent'],
      'How it is known whose a page is. export: all pages are of the memcg of the export. ranges: those of the ranges have memcgs of their own, as a guest has them that gives partitions of its swap to cgroups of its own; the others are of the memcg of the export. agent: somebody in the guest says it of each slot (src/control/agent.md), with memcgs below that of the export.',
    ).prefault('export'),
    ranges: z
      .array(slotRange, { error: () => `is not a list, allowed: ${rangesAllowed}` })
      .max(RANGES_MAX, { error: () => `has too many ranges, allowed: ${rangesAllowed}` })
      .meta({ description: 'For attribution: ranges, in any order; they may not overlap.', allowed: rangesAllowed })
      .prefault([]),
    writeback: group(
      {
        budget: size(
          { min: 0, max: EXPORT_BYTES_MAX, multiple: PAGE_SIZE, wordMax: true },
          'Pages of 4 KiB that /block/<export>/writeback may write back in one interval, in bytes: what an image on flash is worn by it. What limits and memory.reclaim write back is not bounded by it. max: no bound.',
        ).prefault('max'),
        interval: duration(1000, DAY_MS, 'Interval of the budget, counted from the start of the server.').prefault(
          '24h',
        ),
      },
      'Writeback on demand.',
    ).prefault({}),
    agentToken: fileOrNull(
      'For attribution: agent: the file with the token that the agent has to know, 64 hexadecimal digits. It is made where it is missing, and nobody but its owner may read it.',
    ).prefault(null),
    onUnclean: choice(
      ['refuse', 'reset', 'serve'],
      'Start after an unclean stop, when the image is stale: refuse (exit 3), reset (discard its content), or serve the old bytes. An image that is gone or empty beside its marker is refused by serve too, and started anew by reset. Only refuse can never corrupt a guest.',
    ).prefault('refuse'),
    writeThrough: choice(
      ['auto', 'on', 'off'],
      'With durability: strict: a WRITE, TRIM or WRITE_ZEROES is answered when the image has it, synced, as if each had FUA, and waits for the disk. auto: under serve --supervise, where a server that was killed comes back to a guest that runs on: the kernel sends neither FLUSH nor FUA for swap, and with off it reads old bytes then.',
    ).prefault('auto'),
    description: text(
      0,
      DESCRIPTION_MAX,
      'Text that the client can ask for (NBD_INFO_DESCRIPTION). Empty: none.',
    ).prefault(''),
  },
  'One NBD export.',
).transform((value) => ({ ...value, memcg: value.memcg ?? value.name }));
