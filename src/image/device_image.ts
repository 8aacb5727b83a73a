/** An image that is a block device: its size stays, and what is dirty in the page cache can't be punched. */
import { EBUSY } from '../os/errno.ts';
import { DescriptorImage } from './descriptor_image.ts';
import type { ImageDone } from './image.ts';

export class DeviceImage extends DescriptorImage {
  protected ifLong(_finish: ImageDone, goOn: () => void): void {
    goOn();
  }

  /** A device that is held exclusively, by us, refuses holes in what is dirty in the page cache; zeros it takes. */
  protected punchRefused(errno: number): boolean {
    return errno === EBUSY;
  }
}
