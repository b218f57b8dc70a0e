// Writes PNG. A canvas would do so too, but multiplies colours by alpha before, and is not as large as a result may be.

/** A PNG file of straight RGBA whose rows come one after the other; without alpha where it is `opaque`. */
export class PngWriter {
  #width;
  #channels;
  #above; // the row before
  #parts;
  #deflate = new CompressionStream('deflate');
  #into = this.#deflate.writable.getWriter();
  #read;

  constructor(width, height, opaque) {
    this.#width = width;
    this.#channels = opaque ? 3 : 4;
    this.#above = new Uint8ClampedArray(width * 4);
    const header = new DataView(new ArrayBuffer(13));
    header.setUint32(0, width);
    header.setUint32(4, height);
    header.setUint8(8, 8); // bits of a sample
    header.setUint8(9, opaque ? 2 : 6);
    const signature = Uint8Array.from('\x89PNG\r\n\x1a\n', (letter) => letter.charCodeAt(0));
    this.#parts = [signature, chunk('IHDR', new Uint8Array(header.buffer)), chunk('sRGB', Uint8Array.of(0))];
    this.#read = this.#collect();
  }

  /** Takes the next rows; they are taken when the promise is fulfilled. */
  async write(rows) {
    const size = this.#width * 4;
    for (let first = 0; first < rows.length; first += ROWS * size) {
      const some = rows.subarray(first, first + ROWS * size);
      const filtered = paeth(some, this.#above, this.#width, this.#channels);
      this.#above = some.slice(-size);
      await this.#into.write(filtered);
    }
  }

  /** The file. */
  async end() {
    await this.#into.close();
    await this.#read;
    return new Blob([...this.#parts, chunk('IEND', new Uint8Array(0))], { type: 'image/png' });
  }

  /** Gives it up. */
  abort() {
    this.#read.catch(() => {});
    this.#into.abort().catch(() => {});
  }

  async #collect() {
    const reader = this.#deflate.readable.getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) this.#parts.push(chunk('IDAT', read.value));
  }
}

// How many are compressed at a time.
const ROWS = 64;

// Rows by the filter Paeth, which does well on photographs: each sample less whichever of its three neighbours is the nearest
// to left + above - above left.
function paeth(rows, above, width, channels) {
  const size = width * 4;
  const out = new Uint8Array((rows.length / size) * (1 + width * channels));
  let at = 0;
  for (let first = 0; first < rows.length; first += size) {
    const row = rows.subarray(first, first + size);
    out[at++] = 4;
    for (let pixel = 0; pixel < size; pixel += 4) {
      for (let sample = pixel; sample < pixel + channels; sample++) {
        const left = pixel > 0 ? row[sample - 4] : 0;
        const corner = pixel > 0 ? above[sample - 4] : 0;
        const up = above[sample];
        const toLeft = Math.abs(up - corner);
        const toUp = Math.abs(left - corner);
        const toCorner = Math.abs(left + up - 2 * corner);
        out[at++] = row[sample] - (toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner);
      }
    }
    above = row;
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
  // Which the browser may keep elsewhere than in the page's memory.
  return new Blob([head.buffer, bytes, tail.buffer]);
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
