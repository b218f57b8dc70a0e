// Pictures for the tests, made by the browser or byte by byte.

import { readFileSync } from 'node:fs';
import { deflateSync, inflateSync } from 'node:zlib';

export const astronaut = readFileSync(new URL('../../assets/astronaut.png', import.meta.url));

/** A PNG file of straight RGBA, not filtered. */
export function png({ data, width, height }) {
  const rows = Buffer.alloc(height * (1 + width * 4));
  for (let y = 0; y < height; y++) Buffer.from(data.buffer, y * width * 4, width * 4).copy(rows, y * (1 + width * 4) + 1);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 6], 8);
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND')]);
}

function chunk(kind, content = Buffer.alloc(0)) {
  const bytes = Buffer.concat([Buffer.alloc(4), Buffer.from(kind, 'latin1'), content, Buffer.alloc(4)]);
  bytes.writeUInt32BE(content.length, 0);
  bytes.writeUInt32BE(crc(bytes.subarray(4, -4)), bytes.length - 4);
  return bytes;
}

// Bit by bit: another way than the package's table.
function crc(bytes) {
  let remainder = 0xffffffff;
  for (const byte of bytes) {
    remainder ^= byte;
    for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? 0xedb88320 : 0);
  }
  return ~remainder >>> 0;
}

/** The pixels of a PNG file of 8 bits, RGB or RGBA, as RGBA. */
export function decode(file) {
  let [at, header, parts] = [8, undefined, []];
  while (at < file.length) {
    const length = file.readUInt32BE(at);
    const kind = file.toString('latin1', at + 4, at + 8);
    const content = file.subarray(at + 8, at + 8 + length);
    if (file.readUInt32BE(at + 8 + length) !== crc(file.subarray(at + 4, at + 8 + length))) throw new Error(`${kind} has a wrong checksum`);
    if (kind === 'IHDR') header = content;
    if (kind === 'IDAT') parts.push(content);
    at += 12 + length;
  }
  const [width, height, colour] = [header.readUInt32BE(0), header.readUInt32BE(4), header[9]];
  const channels = { 2: 3, 6: 4 }[colour];
  if (header[8] !== 8 || !channels || header[12] !== 0) throw new Error('a kind of PNG that the tests do not read');
  const [rows, size] = [inflateSync(Buffer.concat(parts)), width * channels];
  const data = new Uint8ClampedArray(width * height * 4).fill(255);
  let above = Buffer.alloc(size);
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (size + 1)];
    const row = rows.subarray(y * (size + 1) + 1, (y + 1) * (size + 1));
    for (let x = 0; x < size; x++) {
      const [left, corner] = x < channels ? [0, 0] : [row[x - channels], above[x - channels]];
      row[x] += [0, left, above[x], (left + above[x]) >> 1, paeth(left, above[x], corner)][filter];
    }
    for (let x = 0; x < width; x++) data.set(row.subarray(x * channels, (x + 1) * channels), (y * width + x) * 4);
    above = row;
  }
  return { data, width, height };
}

function paeth(left, above, corner) {
  const guess = left + above - corner;
  const distances = [left, above, corner].map((value) => Math.abs(guess - value));
  return [left, above, corner][distances.indexOf(Math.min(...distances))];
}

/** A part of a picture. */
export function crop({ data, width: wide }, left, top, width, height) {
  const made = new Uint8ClampedArray(width * height * 4);
  for (let y = 0; y < height; y++) {
    const first = ((top + y) * wide + left) * 4;
    made.set(data.subarray(first, first + width * 4), y * width * 4);
  }
  return { data: made, width, height };
}

/** The largest difference of two pictures of one size. */
export function difference(one, other) {
  if (one.width !== other.width || one.height !== other.height) {
    throw new Error(`${one.width}x${one.height} pixels against ${other.width}x${other.height}`);
  }
  return one.data.reduce((most, value, index) => Math.max(most, Math.abs(value - other.data[index])), 0);
}

/** Colours and alpha of every kind: waves of different lengths, and a hole with hidden colours. */
export function translucent(width, height) {
  const data = new Uint8ClampedArray(width * height * 4);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const inHole = (x - width / 2) ** 2 + (y - height / 2) ** 2 < 100;
      const alpha = inHole ? 0 : 128 + 127 * Math.sin((x + y) / 5);
      data.set([128 + 127 * Math.sin(x / 3), 128 + 127 * Math.sin(y / 4), (x * 8) % 256, alpha], (y * width + x) * 4);
    }
  }
  return { data, width, height };
}
