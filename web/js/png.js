// Writes PNG. A canvas would do so too, but multiplies colours by alpha before, and is not as large as a result may be.

import { hasNoAlpha } from './pixels.js';

const ROWS = 64;

/** The PNG file of straight RGBA; without alpha where that is full everywhere. */
export async function toPng({ data, width, height }) {
  const channels = hasNoAlpha(data) ? 3 : 4;
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8); // bits of a sample
  header.setUint8(9, channels === 3 ? 2 : 6);
  const parts = [
    Uint8Array.from('\x89PNG\r\n\x1a\n', (letter) => letter.charCodeAt(0)),
    ...chunk('IHDR', new Uint8Array(header.buffer)),
    ...chunk('sRGB', Uint8Array.of(0)),
  ];
  let y = 0;
  const rows = new ReadableStream({
    pull(controller) {
      const count = Math.min(ROWS, height - y);
      if (count === 0) return controller.close();
      controller.enqueue(filtered(data, width, y, count, channels));
      y += count;
    },
  });
  const reader = rows.pipeThrough(new CompressionStream('deflate')).getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) parts.push(...chunk('IDAT', read.value));
  parts.push(...chunk('IEND', new Uint8Array(0)));
  return new Blob(parts, { type: 'image/png' });
}

// Rows by the filter Paeth, which does well on photographs: each sample less whichever of its three neighbours is the nearest
// to left + above - above left.
function filtered(data, width, first, count, channels) {
  const out = new Uint8Array(count * (1 + width * channels));
  let at = 0;
  for (let y = first; y < first + count; y++) {
    out[at++] = 4;
    for (let x = 0; x < width; x++) {
      const here = (y * width + x) * 4;
      for (let channel = 0; channel < channels; channel++) {
        const sample = here + channel;
        const left = x > 0 ? data[sample - 4] : 0;
        const above = y > 0 ? data[sample - width * 4] : 0;
        const corner = x > 0 && y > 0 ? data[sample - width * 4 - 4] : 0;
        const toLeft = Math.abs(above - corner);
        const toAbove = Math.abs(left - corner);
        const toCorner = Math.abs(left + above - 2 * corner);
        const nearest = toLeft <= toAbove && toLeft <= toCorner ? left : toAbove <= toCorner ? above : corner;
        out[at++] = data[sample] - nearest;
      }
    }
  }
  return out;
}

function chunk(kind, bytes) {
  const head = new DataView(new ArrayBuffer(8));
  head.setUint32(0, bytes.length);
  for (let letter = 0; letter < 4; letter++) head.setUint8(4 + letter, kind.charCodeAt(letter));
  const name = new Uint8Array(head.buffer, 4);
  const tail = new DataView(new ArrayBuffer(4));
  tail.setUint32(0, crc32(bytes, crc32(name)));
  return [head.buffer, bytes, tail.buffer];
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
  return byte;
});

/** The checksum of PNG and ZIP, of bytes that follow others. */
export function crc32(bytes, before = 0) {
  let crc = ~before;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}
