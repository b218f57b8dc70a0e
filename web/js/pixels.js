// Pictures as bytes: RGBA, alpha straight, sRGB.

import { failure } from './failure.js';
import { identify } from './header.js';

/** What is taken: 1 GiB of pixels. */
const MOST_PIXELS = 2 ** 28;

// What is read of a file to know what it is: a JPEG has its size behind its metadata.
const HEADER_BYTES = 1 << 20;

// Of a piece that is read at a time: every device has textures of this size.
const SIDE = 2048;

export async function pixelsOf(source) {
  if (source instanceof ImageData) return source;
  if (source instanceof Blob) return ofBlob(source);
  if (source instanceof ImageBitmap) return ofBitmap(source, 'the picture');
  if (globalThis.VideoFrame && source instanceof VideoFrame) {
    const bitmap = await createImageBitmap(source, { premultiplyAlpha: 'none' });
    try {
      return await ofBitmap(bitmap, 'the frame');
    } finally {
      bitmap.close();
    }
  }
  throw failure('expected a Blob, an ImageBitmap, ImageData, an OffscreenCanvas or a VideoFrame');
}

async function ofBlob(blob) {
  const name = blob.name || 'the picture';
  const header = identify(new Uint8Array(await blob.slice(0, HEADER_BYTES).arrayBuffer()));
  if (header?.width) checkSize(header, name);
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { premultiplyAlpha: 'none' });
  } catch {
    if (!blob.size) throw failure(`${name} is empty.`);
    if (!header) throw failure(`${name} is not a picture that this browser can read.`);
    throw failure(`${name} is a ${header.kind} file that is damaged or cut off, or that this browser cannot read.`);
  }
  try {
    return await ofBitmap(bitmap, name);
  } finally {
    bitmap.close();
  }
}

async function ofBitmap(bitmap, name) {
  const { width, height } = bitmap;
  checkSize(bitmap, name);
  let data;
  try {
    data = new Uint8ClampedArray(width * height * 4);
  } catch {
    throw failure(`${name} takes ${Math.ceil((width * height) / 2 ** 18)} MiB, for which the browser has no memory.`);
  }
  // In pieces, because neither a canvas nor a texture may be as large as a picture.
  const pieces = [];
  for (let y = 0; y < height; y += SIDE) {
    for (let x = 0; x < width; x += SIDE) {
      pieces.push([x, y, Math.min(SIDE, width - x), Math.min(SIDE, height - y)]);
    }
  }
  const put = (pixels, [left, top, columns, rows]) => {
    for (let y = 0; y < rows; y++) {
      data.set(pixels.subarray(y * columns * 4, (y + 1) * columns * 4), ((top + y) * width + left) * 4);
    }
  };
  const context = new OffscreenCanvas(Math.min(SIDE, width), Math.min(SIDE, height)).getContext('2d', { willReadFrequently: true });
  context.globalCompositeOperation = 'copy';
  context.imageSmoothingEnabled = false;
  let isOpaque = true;
  for (const piece of pieces) {
    const [x, y, columns, rows] = piece;
    context.drawImage(bitmap, x, y, columns, rows, 0, 0, columns, rows);
    const pixels = context.getImageData(0, 0, columns, rows).data;
    isOpaque &&= hasNoAlpha(pixels);
    put(pixels, piece);
  }
  // A canvas keeps colours multiplied by alpha, in 8 bits: divided again, they are not what they were. WebGL takes them as they
  // are.
  const read = isOpaque ? undefined : straightReader();
  if (read) for (const piece of pieces) put(await read(bitmap, piece), piece);
  return { data, width, height };
}

/** Whether alpha is full everywhere. */
export function hasNoAlpha(pixels) {
  for (let alpha = 3; alpha < pixels.length; alpha += 4) if (pixels[alpha] !== 255) return false;
  return true;
}

// What reads a piece of a bitmap, where there is WebGL.
function straightReader() {
  const gl = new OffscreenCanvas(1, 1).getContext('webgl');
  if (!gl) return undefined;
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  return async (bitmap, [x, y, columns, rows]) => {
    const part = await createImageBitmap(bitmap, x, y, columns, rows, { premultiplyAlpha: 'none' });
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, part);
    part.close();
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
    const pixels = new Uint8Array(columns * rows * 4);
    gl.readPixels(0, 0, columns, rows, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    return pixels;
  };
}

function checkSize({ width, height }, name) {
  if (width * height <= MOST_PIXELS) return;
  const number = (value) => value.toLocaleString('en');
  const mega = (pixels) => number(Math.floor(pixels / 1e6));
  throw failure(
    `${name} is ${number(width)} × ${number(height)} pixels, ${mega(width * height)} megapixels; at most ${mega(MOST_PIXELS)} are taken.`,
  );
}
