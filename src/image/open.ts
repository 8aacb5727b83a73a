/** Opens an image for one thread: which kind it is was found out at start (prepare.ts). */
import { DeviceImage } from './device_image.ts';
import { FileImage } from './file_image.ts';
import type { Image, OpenableImage } from './image.ts';

/** `flags`: IMAGE_FLAG_WORDS words of shared memory, zero at start, the same for all threads that open the image. */
export function openImage(image: OpenableImage, flags: Int32Array): Image {
  return image.blockDevice ? new DeviceImage(image, flags) : new FileImage(image, flags);
}
