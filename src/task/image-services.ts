import type { ImageData } from '../data/image.js';

/** What tasks on images work with, besides their region. */
export interface ImageServices {
  data: ImageData;
}

export function imagesOf({ images }: { readonly images: ImageServices | undefined }): ImageServices {
  if (images === undefined) throw new Error('This process has no images.');
  return images;
}
