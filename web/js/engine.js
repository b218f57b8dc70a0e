// What computes: the module, its device, and the models on it. One call runs at a time.

import init, { Device, Upscaler, conv_transpose } from './wasm/upconv.js';
import { failure } from './failure.js';
import { pixelsOf } from './pixels.js';
import { toPng } from './png.js';

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
    const enlarged = async ({ data, width, height }) => {
      const told = (share) => onProgress?.(share);
      const made = await by.upscale(data, width, height, scale, told, () => signal?.aborted ?? false);
      return { data: made, width: width * scale, height: height * scale };
    };
    // The picture is not kept while its result is written.
    const picture = await enlarged(await pixelsOf(source));
    return as === 'png' ? toPng(picture) : picture;
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
