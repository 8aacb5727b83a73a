// Loop devices that do not say what is behind them: silence is never taken for "another image".
import { chmodSync, mkdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { lockImage, releaseImage } from '#src/image/lock.js';
import { loopOverDevice, loopOverFile } from '#src/image/loops.js';
import { tempFolder } from '../support/tmp.ts';
import { loopDevice, loopOver, mount, mountsMissing, refused } from './images.ts';

const skip = mountsMissing();
const MIB = 2 ** 20;

// Each device and each path that is silent takes two seconds, and this machine may have others in use.
t.setTimeout(120_000);

/** What this process starts as node is this script, until the test ends. */
function nodeIs(t: Test, script: string): void {
  const { execPath } = process;
  const path = join(tempFolder(t), 'node');
  writeFileSync(path, `#!/bin/sh\n${script.replace('NODE', execPath)}\n`);
  chmodSync(path, 0o755);
  process.execPath = path;
  t.teardown(() => {
    process.execPath = execPath;
  });
}

/** As on a machine without a moment to spare: more than a device has for its answer. */
const SLOW = 'sleep 3; exec NODE "$@"';
/** It runs, and hears nothing of any device, as where the file system behind them hangs. */
const HUNG = 'echo; exec sleep 100';
/** It does not come to run. */
const NEVER = 'exec sleep 100';

const lockRefused = (path: string) => refused(() => releaseImage(lockImage(path)));

function file(folder: string, name: string): string {
  const path = join(folder, name);
  writeFileSync(path, '');
  truncateSync(path, MIB);
  return path;
}

t.test('who asks may take its time to start', { skip }, async (t) => {
  nodeIs(t, SLOW);
  const disk = loopDevice(t, MIB);
  const twin = loopOver(t, disk);
  t.match(lockRefused(disk), { kind: 'locked', message: `is in use by the loop device ${twin}` });
});

t.test('a start without anybody who asks is refused', { skip }, async (t) => {
  nodeIs(t, NEVER);
  const disk = loopDevice(t, MIB);
  const { rdev } = statSync(disk);
  t.match(
    refused(() => loopOverDevice(rdev, 100)),
    { kind: 'open', message: `${disk}: can't tell whether a loop device uses it` },
  );
  const path = file(tempFolder(t), 'image');
  loopOver(t, path);
  t.match(
    refused(() => loopOverFile(path, statSync(path, { bigint: true }), null, 100)),
    { kind: 'open', message: `${path}: can't tell whether a loop device uses it` },
  );
});

t.test('a silent device over a node may be over this one', { skip }, async (t) => {
  nodeIs(t, HUNG);
  const disk = loopDevice(t, MIB);
  const twin = loopOver(t, disk);
  t.match(lockRefused(disk), {
    kind: 'locked',
    message: `${twin} does not say whether it is over this image, allowed: this image after \`losetup -d ${twin}\``,
  });
});

t.test('a silent device over a file of the same file system may be over this one', { skip }, async (t) => {
  nodeIs(t, HUNG);
  const folder = tempFolder(t);
  mkdirSync(join(folder, 'other'));
  const path = file(folder, 'image');
  const twin = loopOver(t, file(join(folder, 'other'), 'image'));
  t.match(lockRefused(path), { kind: 'locked', message: `after \`losetup -d ${twin}\`` });
  const elsewhere = mount(t, 'tmpfs', 'none', 'size=2m');
  releaseImage(lockImage(file(elsewhere, 'image')));
});

t.test('a silent device over a file is over no device', { skip }, async (t) => {
  // Those of other tests are as silent here, and may be over a file of a usual name.
  const disk = loopOver(t, file(tempFolder(t), `disk of ${process.pid}`));
  nodeIs(t, HUNG);
  releaseImage(lockImage(disk));
});
