// Cases of public test suites: a folder each, with the operation in case.json and its arrays as .npy.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readNpy } from './npy.js';

/** The case in a folder. */
export function readCase(folder) {
  const array = (name) => {
    const path = join(folder, `${name}.npy`);
    return existsSync(path) ? readNpy(readFileSync(path)) : undefined;
  };
  const description = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8'));
  return { description, x: array('x'), w: array('w'), b: array('b'), y: array('y') };
}

/**
 * What the package makes of some cases, in one task of the page: of each the output, or the sentence of an error. A kernel that
 * cannot run one gives way to that of the plan, which is told. f16 is computed as f32, which has the same values.
 */
export async function compute(page, cases, options = {}) {
  const floats = (array) => {
    if (!array) return null;
    const isFloat = ['<f4', '<f2'].includes(array.type ?? '<f4');
    const bytes = Buffer.from((isFloat ? Float32Array : Int32Array).from(array.data).buffer);
    return { shape: array.shape, isFloat, base64: bytes.toString('base64') };
  };
  const sent = cases.map(({ description, x, w, b }) => ({ description, x: floats(x), w: floats(w), b: floats(b) }));
  const made = await page.evaluate(
    async ([sent, options]) => {
      const { convTranspose } = await import('./upconv/index.js');
      const array = (sent) => {
        if (!sent) return null;
        const { buffer } = Uint8Array.from(atob(sent.base64), (letter) => letter.charCodeAt(0));
        return { shape: sent.shape, data: sent.isFloat ? new Float32Array(buffer) : new Int32Array(buffer) };
      };
      const base64 = (data) => {
        const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
        let letters = '';
        for (let at = 0; at < bytes.length; at += 4096) letters += String.fromCharCode(...bytes.subarray(at, at + 4096));
        return btoa(letters);
      };
      const results = [];
      for (const { description, x, w, b } of sent) {
        const run = (kernel) => convTranspose(array(x), array(w), array(b), { ...description, ...options, kernel });
        try {
          let refused = false;
          const { data, shape } = await run(options.kernel).catch((error) => {
            if (!options.kernel || !error.message.startsWith(`kernel ${options.kernel} cannot run this`)) throw error;
            refused = true;
            return run(undefined);
          });
          results.push({ shape, refused, base64: base64(data) });
        } catch (error) {
          results.push({ error: error.message });
        }
      }
      return results;
    },
    [sent, options],
  );
  return made.map(({ base64, ...rest }) => {
    if (base64 === undefined) return rest;
    const { buffer, byteOffset, length } = Buffer.from(base64, 'base64');
    return { ...rest, data: new Float32Array(buffer.slice(byteOffset, byteOffset + length)) };
  });
}
