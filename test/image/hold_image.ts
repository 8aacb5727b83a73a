// A process of its own that holds an image until it is killed: `node hold_image.js PATH BYTES`.
import { markerBeside, newMarker, writeMarker } from '#src/image/marker.js';
import { prepareImage } from '#src/image/prepare.js';

const [path, bytes] = process.argv.slice(2);
const image = prepareImage({ path, bytes: Number(bytes), direct: 'auto' });
writeMarker(markerBeside(image.path), newMarker(image, 'volatile'));
process.stdout.write('held\n');
// Nothing else keeps the process alive.
setInterval(() => {}, 60_000);
