// Presets, refusals with their reasons, and what needs `unsafe`.
import t from 'tap';
import { ConfigError, loadConfigText } from '#src/config/load.js';
import { protocolWarning } from '#src/config/protocol_checks.js';
import type { Config } from '#src/config/schema.js';

/** The config with these settings under `protocol`, and others beside them. */
function load(protocol: object, others: object = { unsafe: true }): Config {
  return loadConfigText('c.jsonc', JSON.stringify({ protocol, ...others })).config;
}

function refusal(protocol: object, others?: object): string {
  try {
    load(protocol, others);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.join('\n').replace(/^c\.jsonc:\d+:\d+: /, '');
    throw error;
  }
  return '';
}

t.test('without a word it is the newest kernel', async (t) => {
  const { protocol } = load({}, {});
  t.match(protocol, { entry: 'pin-validate', swapoff: 'pin-first', busy: 'skip-eexist', invalidate: 'empty-check' });
  t.match(protocol, { preset: null, eraseOnReject: true, leakFix: false, treeIndexing: 'relative' });
});

const PRESETS = {
  'v3.12': ['refcount-2013', 'free-immediately', 'none', 'erase', false, false],
  'v3.13': ['refcount-2013', 'free-immediately', 'none', 'erase', true, false],
  'v6.4': ['refcount-2013', 'free-immediately', 'none', 'erase', true, true],
  'v6.8': ['refcount-lru-isolate', 'free-immediately', 'skip-eexist', 'erase', false, false],
  'v6.9': ['pin-validate', 'pin-first', 'skip-eexist', 'erase', false, false],
  'v6.13': ['pin-validate', 'pin-first', 'skip-eexist', 'empty-check', false, false],
};
for (const [preset, wanted] of Object.entries(PRESETS)) {
  t.test(`preset ${preset}`, async (t) => {
    const { protocol: p } = load({ preset });
    t.same([p.entry, p.swapoff, p.busy, p.invalidate, p.leakFix, p.validate], wanted);
    t.equal(load({ preset, entry: wanted[0] }).protocol.entry, wanted[0], 'saying the same again is no contradiction');
  });
}

t.test('a choice that contradicts the preset is refused', async (t) => {
  t.equal(
    refusal({ preset: 'v6.9', invalidate: 'empty-check' }),
    'protocol.invalidate: "empty-check" contradicts protocol.preset "v6.9", allowed: "erase", or no preset',
  );
  t.match(
    refusal({ preset: 'v3.12', leakFix: true }),
    /^protocol\.leakFix: true contradicts protocol\.preset "v3\.12"/,
  );
  t.equal(
    load({ preset: 'v6.9', exclusiveBypass: true }).protocol.exclusiveBypass,
    true,
    'what it does not say is free',
  );
});

const MEANINGLESS: [object, RegExp][] = [
  ...['tree-refcount', 'drain', 'drain-early-ref'].flatMap((swapoff): [object, RegExp][] => [
    [{ entry: 'refcount-2013', swapoff }, /^protocol\.swapoff: ".*" .*, allowed: "free-immediately", "pin-first"$/],
    [{ entry: 'cas-2013', swapoff }, /^protocol\.swapoff: ".*" .*, allowed: "free-immediately", "pin-first"$/],
  ]),
  [
    { entry: 'refcount-lru-isolate', swapoff: 'pin-first' },
    /^protocol\.swapoff: "pin-first" needs a writeback that pins/,
  ],
  [{ swapoff: 'drain' }, /^protocol\.swapoff: "drain" waits for entry counts, and pin-validate has none, allowed: /],
  [{ swapoff: 'drain-early-ref' }, /^protocol\.swapoff: "drain-early-ref" waits for entry counts/],
  ...['load-noreload', 'load-reset', 'load-reload'].map((invalidate): [object, RegExp] => [
    { entry: 'refcount-lru-isolate', swapoff: 'tree-refcount', invalidate },
    /^protocol\.invalidate: "load-.*" frees what it erased, and with refcount-lru-isolate somebody .*, allowed: "erase", "empty-check"$/,
  ]),
];
for (const [protocol, expected] of MEANINGLESS) {
  t.test(`refused although unsafe: ${JSON.stringify(protocol)}`, async (t) => {
    const line = refusal(protocol);
    t.match(line, expected);
    t.notMatch(line, /\n/);
  });
}

t.test('one thread takes no protocol that waits for another', async (t) => {
  const inline = { unsafe: true, lanes: 0 };
  t.match(refusal({ entry: 'refcount-2013', swapoff: 'free-immediately' }, inline), /^protocol\.entry: .*lanes: 0/);
  t.match(refusal({ entry: 'cas-2013', swapoff: 'free-immediately' }, inline), /^protocol\.entry: .*lanes: 0/);
  t.match(refusal({ busy: 'none' }, inline), /^protocol\.busy: "none" retries until another thread moves/);
  t.match(refusal({ busy: 'remove-from-lru-on-fault' }, inline), /^protocol\.busy: .*allowed: "skip-eexist"/);
  t.equal(refusal({ entry: 'refcount-lru-isolate', swapoff: 'drain-early-ref' }, { lanes: 0 }), '');
});

const BROKEN: [object, string, RegExp][] = [
  [{ preset: 'v3.12' }, 'preset', /stale data/],
  [{ preset: 'v6.4' }, 'preset', /use after free/],
  [{ preset: 'v6.8' }, 'preset', /use after free/],
  [{ entry: 'refcount-2013', swapoff: 'free-immediately', validate: true }, 'entry', /leak/],
  [{ entry: 'cas-2013', swapoff: 'free-immediately' }, 'entry', /deadlock/],
  [{ entry: 'refcount-lru-isolate', swapoff: 'drain' }, 'swapoff', /use after free/],
  [{ busy: 'none' }, 'busy', /deadlock/],
  [{ busy: 'remove-from-lru-on-fault' }, 'busy', /isolated: deadlock/],
  [{ invalidate: 'load-noreload' }, 'invalidate', /use after free/],
  [{ eraseOnReject: false }, 'eraseOnReject', /stale data/],
  [{ exclusiveBypass: true }, 'exclusiveBypass', /data loss/],
  [{ slotReusableBeforeInvalidate: true }, 'slotReusableBeforeInvalidate', /lost store/],
  [{ lruSkipAfterUnlock: true }, 'lruSkipAfterUnlock', /use after free/],
];
for (const [protocol, key, what] of BROKEN) {
  t.test(`broken, so only with unsafe: ${JSON.stringify(protocol)}`, async (t) => {
    const line = refusal(protocol, {});
    t.ok(line.startsWith(`protocol.${key}: `), line);
    t.match(line, what);
    t.match(line, /, allowed: only with unsafe: true$/);
    const warning = protocolWarning(load(protocol)) ?? '';
    t.match(warning, what);
    t.notMatch(warning, /\n/);
  });
}

for (const protocol of [
  {},
  { preset: 'v6.9' },
  { preset: 'v6.13' },
  { swapoff: 'free-immediately' },
  { swapoff: 'tree-refcount' },
  { invalidate: 'load-reset' },
  { invalidate: 'load-reload', treeIndexing: 'absolute' },
  { entry: 'refcount-lru-isolate', swapoff: 'tree-refcount' },
  { entry: 'refcount-lru-isolate', swapoff: 'drain-early-ref', invalidate: 'erase' },
  { invalidateUnderDeviceLock: true },
]) {
  t.test(`holds, and starts without unsafe: ${JSON.stringify(protocol)}`, async (t) => {
    t.equal(refusal(protocol, {}), '');
    t.equal(protocolWarning(load(protocol)), null);
  });
}
