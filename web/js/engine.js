// What computes: the module, its device, and the models on it. One call runs at a time.

import init, { Device, Upscaler, conv_transpose } from './wasm/upconv.js';
import { failure } from './failure.js';
import { hasNoAlpha, pixelsOf } from './pixels.js';
import { PngWriter } from './png.js';

let module;
let opening;
const models = new Map();
let count = 0;

// The device, a new one where the last was lost.
async function device() {
  if (!globalThis.navigator?.gpu) {
    const why = globalThis.isSecureContext === false ? 'on a page that is not served over https or from localhost' : 'in this browser';
    throw failure(`There is no WebGPU ${why}, which does the work here.`, 'no-webgpu');
  }
  module ??= init({ module_or_path: new URL('./wasm/upconv_bg.wasm', import.meta.url) });
  await module.catch((error) => {
    module = undefined;
    throw failure(`the module cannot be loaded: ${error.message}`);
  });
  if ((await opening)?.lost) opening = undefined;
  opening ??= Device.request().catch((error) => {
    opening = undefined;
    if (error.code !== 'no-adapter') throw error;
    throw failure('This browser has WebGPU, but finds no graphics adapter for it.', 'no-adapter');
  });
  return opening;
}

// A model on the device that there is now.
async function upscaler(number) {
  const on = await device();
  const kept = models.get(number);
  if (!kept) throw failure('this upscaler is closed');
  if (kept.on !== on) {
    kept.made?.free();
    kept.made = typeof kept.model === 'string' ? Upscaler.filter(on, kept.model) : Upscaler.network(on, kept.model);
    kept.on = on;
  }
  return kept.made;
}

const methods = {
  async devices() {
    const { name, class: kind, software } = await device();
    return [{ name, kind, software }];
  },

  async load(model) {
    const number = ++count;
    models.set(number, { model });
    try {
      return { number, scales: Array.from((await upscaler(number)).scales) };
    } catch (error) {
      models.delete(number);
      throw error;
    }
  },

  async unload(number) {
    models.get(number)?.made?.free();
    models.delete(number);
  },

  async upscale(number, source, scale, as, { onProgress, signal }) {
    if (!Number.isInteger(scale)) throw failure(`the factor is ${scale}, expected a whole number`);
    const by = await upscaler(number);
    const { data, width, height } = await pixelsOf(source);
    const opaque = hasNoAlpha(data);
    const into = as === 'png' ? new PngWriter(width * scale, height * scale, opaque) : new Whole(width * scale, height * scale);
    const told = (share) => onProgress?.(share);
    try {
      await by.upscale(data, width, height, opaque, scale, (rows) => into.write(rows), told, () => signal?.aborted ?? false);
      return await into.end();
    } catch (error) {
      into.abort();
      throw error;
    }
  },

  async convTranspose(x, w, b, description, kernel) {
    const on = await device();
    const floats = (what, { data, shape }) => {
      if (!(data instanceof Float32Array)) throw failure(`the ${what}'s data are no Float32Array`);
      return [data, Uint32Array.from(shape)];
    };
    const bias = b && (b instanceof Float32Array ? b : floats('bias', b)[0]);
    const [data, shape] = await conv_transpose(
      on, ...floats('input', x), ...floats('weight', w), bias ?? undefined, description, kernel,
    );
    return { data, shape: Array.from(shape) };
  },
};

// A result whose rows come one after the other, as pixels.
class Whole {
  #picture;
  #at = 0;

  constructor(width, height) {
    const mib = Math.ceil((width * height) / 2 ** 18);
    const what = `the result of ${width}x${height} pixels takes ${mib} MiB`;
    if (mib > 4096) throw failure(`${what}, more than the 4096 of one ImageData; as a PNG it may be larger`);
    try {
      this.#picture = { data: new Uint8ClampedArray(width * height * 4), width, height };
    } catch {
      throw failure(`${what}, for which the browser has no memory`);
    }
  }

  write(rows) {
    this.#picture.data.set(rows, this.#at);
    this.#at += rows.length;
  }

  end() {
    return this.#picture;
  }

  abort() {}
}

let last = Promise.resolve();

/** Runs a method when those before are done. */
export function call(method, args, { onProgress, signal } = {}) {
  const run = async () => {
    if (signal?.aborted) throw signal.reason;
    return untrapped(methods[method](...args, { onProgress, signal }));
  };
  const result = last.then(run, run);
  last = result.catch(() => {});
  return result.catch((error) => {
    throw error.code === 'cancelled' && signal?.aborted ? signal.reason : error;
  });
}

// A trap inside a promise of the module leaves that unsettled for ever, and is only seen as an uncaught error.
async function untrapped(work) {
  const failed = (error) => failure(`upconv failed, which is a defect of its own: ${error.message}`, 'failed');
  let listen;
  const trap = new Promise((_, reject) => {
    listen = ({ error }) => error instanceof WebAssembly.RuntimeError && reject(failed(error));
    globalThis.addEventListener?.('error', listen);
  });
  try {
    return await Promise.race([work, trap]);
  } catch (error) {
    throw error instanceof WebAssembly.RuntimeError ? failed(error) : error;
  } finally {
    globalThis.removeEventListener?.('error', listen);
  }
}
