// Several files as one, not compressed: a PNG is already.

import { crc32 } from './upconv/png.js';

const LIMIT = 0xffffffff;

/** Of files with a name and a blob. */
export async function zip(files) {
  const parts = [];
  const directory = [];
  const names = new Set();
  let at = 0;
  for (const { name, blob } of files) {
    const bytes = new TextEncoder().encode(unique(name, names));
    const kind = [20, 0x0800, 0, 0, 0x21]; // the version of the format, names in UTF-8, stored, the first of 1980
    const content = [await checksum(blob), blob.size, blob.size];
    const local = record(0x04034b50, kind, content, [bytes.length, 0]);
    const size = local.length + bytes.length + blob.size;
    if (at + size > LIMIT) throw new Error('The results take more than the 4 GiB of one file; download them one by one.');
    parts.push(local, bytes, blob);
    directory.push(record(0x02014b50, [20, ...kind], content, [bytes.length, 0, 0, 0, 0], [0, at]), bytes);
    at += size;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = record(0x06054b50, [0, 0, files.length, files.length], [size, at], [0]);
  return new Blob([...parts, ...directory, end], { type: 'application/zip' });
}

// A signature, and runs of 16-bit and 32-bit numbers in turn.
function record(signature, ...runs) {
  const bytes = [];
  const push = (value, size) => {
    for (let byte = 0; byte < size; byte++) bytes.push(Math.floor(value / 2 ** (8 * byte)) % 256);
  };
  push(signature, 4);
  runs.forEach((run, index) => run.forEach((value) => push(value, index % 2 === 0 ? 2 : 4)));
  return Uint8Array.from(bytes);
}

async function checksum(blob) {
  let crc = 0;
  const reader = blob.stream().getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) crc = crc32(read.value, crc);
  return crc;
}

function unique(name, names) {
  const [stem, end] = [name.replace(/\.[^.]*$/, ''), name.match(/\.[^.]*$/)?.[0] ?? ''];
  let tried = name;
  for (let number = 2; names.has(tried); number++) tried = `${stem} (${number})${end}`;
  names.add(tried);
  return tried;
}
