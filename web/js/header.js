// What a file is, and how large the picture in it, by its first bytes: before a decoder takes memory for it.

const text = (bytes, from, length) => String.fromCharCode(...bytes.subarray(from, from + length));

/** Its kind, and where they are known its width and height. */
export function identify(bytes) {
  if (bytes.length < 32) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (text(bytes, 0, 8) === '\x89PNG\r\n\x1a\n') return { kind: 'PNG', width: view.getUint32(16), height: view.getUint32(20) };
  if (text(bytes, 0, 3) === 'GIF') return { kind: 'GIF', width: view.getUint16(6, true), height: view.getUint16(8, true) };
  if (text(bytes, 0, 2) === 'BM') {
    return { kind: 'BMP', width: Math.abs(view.getInt32(18, true)), height: Math.abs(view.getInt32(22, true)) };
  }
  if (text(bytes, 0, 4) === 'RIFF' && text(bytes, 8, 4) === 'WEBP') return { kind: 'WebP', ...webp(bytes, view) };
  if (text(bytes, 0, 3) === '\xff\xd8\xff') return { kind: 'JPEG', ...jpeg(view) };
  if (text(bytes, 4, 4) === 'ftyp') return { kind: /avi[fs]/.test(text(bytes, 8, 24)) ? 'AVIF' : 'HEIF' };
  return undefined;
}

function webp(bytes, view) {
  const three = (at) => view.getUint16(at, true) + (bytes[at + 2] << 16);
  switch (text(bytes, 12, 4)) {
    case 'VP8X':
      return { width: three(24) + 1, height: three(27) + 1 };
    case 'VP8L': {
      const bits = view.getUint32(21, true);
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
    }
    default:
      return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
  }
}

// The first frame header, behind whatever metadata there are.
function jpeg(view) {
  let at = 2;
  while (at + 9 < view.byteLength && view.getUint8(at) === 0xff) {
    const marker = view.getUint8(at + 1);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    at += marker === 0xff ? 1 : 2 + view.getUint16(at + 2);
  }
  return {};
}
