// A marker that can't be looked at says nothing of its image: it is not served, and nothing of it is discarded.
import { chmodSync, chownSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { newMarker, writeMarker } from '#src/image/marker.js';
import { findMarkers, markerPlaces, removeMarkers, removeMarkersLater } from '#src/image/places.js';
import { missing } from '../support/requires.ts';
import { runCommand } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';
import { MAIN, serverArguments } from '../support/zswapd.ts';

t.setTimeout(60_000);

const MIB = 2 ** 20;
const NOBODY = 65534;

/** As root, a command of somebody whom file modes bind. */
const bound = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

function imageAt(path: string): string {
  writeFileSync(path, 'a clean image');
  truncateSync(path, 8 * MIB);
  return path;
}

/** No verb may take it for stale, whatever is said about stale images. */
async function refused(t: Test, image: string, why: RegExp, wrap: readonly string[] = []): Promise<void> {
  const folder = tempFolder(t);
  chmodSync(folder, 0o777);
  const exports = JSON.stringify([{ name: 'a', size: '8MiB', image, onUnclean: 'reset' }]);
  const [, , ...set] = serverArguments(folder, { set: [`exports=${exports}`] });
  const verbs = [
    ['serve', ...set],
    ['config', 'check', ...set],
    ['image', 'reset', image],
  ];
  for (const verb of verbs) {
    const [name, ...args] = [...wrap, process.execPath, MAIN, ...verb];
    const { code, stderr } = await runCommand(name, args);
    t.equal(code, 2, `${verb.slice(0, 2).join(' ')}: ${stderr}`);
    t.match(stderr, why);
  }
  t.equal(readFileSync(image, 'utf8').replaceAll('\0', ''), 'a clean image');
}

t.test('the name of the marker would be too long', async (t) => {
  const image = imageAt(join(tempFolder(t), 'x'.repeat(250)));
  await refused(
    t,
    image,
    /zswapd: can't be read \(ENAMETOOLONG\), so nothing tells whether its image is stale, allowed: /,
  );
});

t.test('the marker is of another user', { skip: process.getuid?.() !== 0 && 'needs root' }, async (t) => {
  const folder = tempFolder(t);
  chmodSync(folder, 0o777);
  const image = imageAt(join(folder, 'image'));
  chownSync(image, NOBODY, NOBODY);
  writeMarker(`${image}.zswapd`, newMarker({ identity: '1:2', bytes: 8 * MIB }, 'strict'));
  await refused(t, image, /image\.zswapd: can't be read \(EACCES\), so nothing tells/, bound);
});

t.test('a folder that can not be entered has no markers of ours, and none has to be removed there', async (t) => {
  const [state, closed] = [tempFolder(t), join(tempFolder(t), 'file')];
  writeFileSync(closed, '');
  const device = { blockDevice: true, identity: 'serial=1', names: ['serial=1'], file: null, part: null };
  const places = markerPlaces(device, [state, closed], '/dev/a');
  t.equal(findMarkers(places).state, null);
  writeMarker(places.path, newMarker({ identity: 'serial=1', bytes: MIB }, 'volatile'));
  t.match(findMarkers(places).state, { pid: process.pid });
  t.equal(removeMarkers(places), null);
  t.equal(await removeMarkersLater(places), null);
  t.equal(findMarkers(places).state, null);
});

t.test("another user's marker", { skip: missing('root') }, async (t) => {
  const image = imageAt(join(tempFolder(t), 'image'));
  writeFileSync(`${image}.zswapd`, 'x');
  chownSync(`${image}.zswapd`, NOBODY, NOBODY);
  await refused(
    t,
    image,
    /image\.zswapd: belongs to another user \(uid 65534\), allowed: one of this process's user, of root or /,
  );
  chownSync(image, NOBODY, NOBODY);
  const { code, stderr } = await runCommand(process.execPath, [MAIN, 'image', 'reset', image]);
  t.match([code, stderr], [0, 'was stale'], "that of the image's owner counts");
});
