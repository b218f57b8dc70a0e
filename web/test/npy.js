// Arrays in the format of NumPy.

const ELEMENTS = {
  '<f4': [4, (view, at) => view.getFloat32(at, true)],
  '<f2': [2, (view, at) => half(view.getUint16(at, true))],
  '<f8': [8, (view, at) => view.getFloat64(at, true)],
  '<i4': [4, (view, at) => view.getInt32(at, true)],
  '<i8': [8, (view, at) => Number(view.getBigInt64(at, true))],
};

/** The array in a file, in C order, as numbers that its elements are. */
export function readNpy(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const begin = bytes[6] === 1 ? 10 : 12;
  const length = bytes[6] === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const header = bytes.toString('latin1', begin, begin + length);
  const type = header.match(/'descr': '([^']*)'/)[1];
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(',').filter((part) => part.trim()).map(Number);
  if (header.includes("'fortran_order': True") && shape.length > 1) throw new Error('an array in the order of Fortran');
  const [size, element] = ELEMENTS[type] ?? [];
  if (!size) throw new Error(`an array of ${type}`);
  const count = shape.reduce((product, extent) => product * extent, 1);
  const data = Array.from({ length: count }, (_, index) => element(view, begin + length + index * size));
  return { data, shape, type };
}

/** An array of f32 as a file. */
export function writeNpy({ data, shape }) {
  const sides = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  let header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${sides}), }`;
  header += ' '.repeat(63 - ((10 + header.length) % 64)) + '\n';
  const head = Buffer.alloc(10);
  head.write('\x93NUMPY\x01\x00', 'latin1');
  head.writeUInt16LE(header.length, 8);
  return Buffer.concat([head, Buffer.from(header, 'latin1'), Buffer.from(Float32Array.from(data).buffer)]);
}

function half(bits) {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 0) return (sign * fraction) / 2 ** 24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
