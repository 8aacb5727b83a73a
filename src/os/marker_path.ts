/** How the marker of an image is called, which lies beside it: the image has to know it, and so has what else gets a path. */

export const MARKER_SUFFIX = '.zswapd';

/** What a server makes beside the image at `path`: the marker, and what it is written as before it is renamed. */
export function madeBeside(path: string): string[] {
  const marker = `${path}${MARKER_SUFFIX}`;
  return [marker, `${marker}.tmp`];
}

/** How a path ends that is named as a marker, or as what is renamed to one; undefined for any other. */
export function markerEnding(path: string): string | undefined {
  return [`${MARKER_SUFFIX}.tmp`, MARKER_SUFFIX].find((end) => path.endsWith(end));
}
