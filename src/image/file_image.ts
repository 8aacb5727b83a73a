/**
 * An image that is a regular file. It can become shorter while it is served, and what was beyond its end is gone then: the
 * size is asked before each write, because a write past the new end would make the file long again with zeros in between.
 */
import { EIO } from '../os/errno.ts';
import { DescriptorImage } from './descriptor_image.ts';
import type { ImageDone, OpenableImage } from './image.ts';
import { answersSizeAtOnce, POOL_IO, sizeNow } from './io.ts';

export class FileImage extends DescriptorImage {
  private readonly askSize: typeof sizeNow;

  constructor(image: OpenableImage, flags: Int32Array) {
    super(image, flags);
    this.askSize = answersSizeAtOnce(image.path) ? sizeNow : POOL_IO.size;
  }

  protected ifLong(finish: ImageDone, goOn: () => void): void {
    this.askSize(this.fd, (errno, size) => {
      // Where the size is known at once, the caller has not returned yet, and must not be called back.
      if (errno !== 0) setImmediate(finish, errno);
      else if (size < this.image.bytes) {
        this.giveUp();
        setImmediate(finish, EIO);
      } else goOn();
    });
  }

  protected punchRefused(): boolean {
    return false;
  }
}
