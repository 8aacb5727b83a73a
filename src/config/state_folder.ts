// Where this program keeps files of its own: sockets and images by default, the markers of block devices, and
// notes of the paths of images in use.
// Invariant: of these folders only var/ is ever created, by a start that was checked.
import { resolve } from 'node:path';
import { HOME } from './fields.ts';

/** The folder of default sockets and images. */
export const STATE_FOLDER = resolve(HOME, 'var');

/**
 * Where markers of block devices and notes are, the one to write to first. A service manager's folder (StateDirectory=) outlives the
 * checkout and its working directory; var/ is looked at all the same, because a start without the manager writes there.
 */
export function deviceMarkerFolders(environment: NodeJS.ProcessEnv = process.env): readonly string[] {
  // Several are separated by colons.
  const [folder = ''] = (environment.STATE_DIRECTORY ?? '').split(':');
  return folder.startsWith('/') && resolve(folder) !== STATE_FOLDER ? [resolve(folder), STATE_FOLDER] : [STATE_FOLDER];
}
