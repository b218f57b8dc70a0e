// Pictures as bytes: RGBA, alpha straight, sRGB.

import { failure } from './failure.js';
import { identify } from './header.js';

/** What is taken: 1 GiB of pixels. */
const MOST_PIXELS = 2 ** 28;

// What is read of a file to know what it is: a JPEG has its size behind its metadata.
const HEADER_BYTES = 1 << 20;

const BAND = 1 << 22; // pixels

export async function pixelsOf(source) {
  if (source instanceof ImageData) return source;
  if (source instanceof Blob) return ofBlob(source);
  if (source instanceof ImageBitmap) return ofBitmap(source, 'the picture');
  throw failure('expected a Blob, an ImageBitmap, ImageData or an OffscreenCanvas');
}

async function ofBlob(blob) {
  const name = blob.name || 'the picture';
  const header = identify(new Uint8Array(await blob.slice(0, HEADER_BYTES).arrayBuffer()));
  if (header?.width) checkSize(header, name);
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    if (!blob.size) throw failure(`${name} is empty.`);
    if (!header) throw failure(`${name} is not a picture that this browser can read.`);
    throw failure(`${name} is a ${header.kind} file that is damaged or cut off, or that this browser cannot read.`);
  }
  try {
    return ofBitmap(bitmap, name);
  } finally {
    bitmap.close();
  }
}

function ofBitmap(bitmap, name) {
  const { width, height } = bitmap;
  checkSize(bitmap, name);
  let data;
  try {
    data = new Uint8ClampedArray(width * height * 4);
  } catch {
    throw failure(`${name} takes ${Math.ceil((width * height) / 2 ** 18)} MiB, for which the browser has no memory.`);
  }
  // In bands, because a canvas may not be as large as a picture.
  const rows = Math.max(1, Math.min(height, Math.floor(BAND / width)));
  const canvas = new OffscreenCanvas(width, rows);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.globalCompositeOperation = 'copy';
  context.imageSmoothingEnabled = false;
  for (let y = 0; y < height; y += rows) {
    const count = Math.min(rows, height - y);
    context.drawImage(bitmap, 0, y, width, count, 0, 0, width, count);
    data.set(context.getImageData(0, 0, width, count).data, y * width * 4);
  }
  return { data, width, height };
}

function checkSize({ width, height }, name) {
  if (width * height <= MOST_PIXELS) return;
  const number = (value) => value.toLocaleString('en');
  const mega = (pixels) => number(Math.floor(pixels / 1e6));
  throw failure(
    `${name} is ${number(width)} × ${number(height)} pixels, ${mega(width * height)} megapixels; at most ${mega(MOST_PIXELS)} are taken.`,
  );
}
