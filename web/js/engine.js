// What computes: the modules, a device of each, and the models and layers on them. One call runs at a time.

import { failure } from './failure.js';
import { hasNoAlpha, pixelsOf } from './pixels.js';
import { PngWriter } from './png.js';

// A module for WebGPU, and one that computes by itself; a browser loads what it needs.
const kinds = { gpu: {}, cpu: {} };
const models = new Map();
const layers = new Map();
let count = 0;

async function load(kind) {
  try {
    const module = await import(`./wasm/${kind}/upconv.js`);
    await module.default({ module_or_path: new URL(`./wasm/${kind}/upconv_bg.wasm`, import.meta.url) });
    return module;
  } catch (error) {
    throw failure(`the module cannot be loaded: ${error.message}`);
  }
}

// A module with its device, a new one where the last was lost.
async function opened(kind) {
  const { opening } = kinds[kind];
  if ((await opening?.catch(() => {}))?.device.lost) kinds[kind].opening = undefined;
  kinds[kind].opening ??= (async () => {
    kinds[kind].module ??= load(kind);
    const module = await kinds[kind].module.catch((error) => {
      kinds[kind].module = undefined;
      throw error;
    });
    return { kind, module, device: await module.Device.request() };
  })().catch((error) => {
    kinds[kind].opening = undefined;
    throw error;
  });
  return kinds[kind].opening;
}

async function gpu() {
  if (!globalThis.navigator?.gpu) {
    const why = globalThis.isSecureContext === false ? 'on a page that is not served over https or from localhost' : 'in this browser';
    throw failure(`There is no WebGPU ${why}.`, 'no-webgpu');
  }
  return opened('gpu').catch((error) => {
    if (error.code !== 'no-adapter') throw error;
    throw failure('This browser has WebGPU, but finds no graphics adapter for it.', 'no-adapter');
  });
}

// What is asked for: the GPU, the CPU, or by `auto` the CPU where there is no GPU.
async function place(device = 'auto') {
  switch (device) {
    case 'gpu':
      return gpu();
    case 'cpu':
      return opened('cpu');
    case 'auto':
      return gpu().catch(async (error) => {
        if (!['no-webgpu', 'no-adapter'].includes(error.code)) throw error;
        return { ...(await opened('cpu')), why: error.message };
      });
    default:
      throw failure(`there is no device "${device}"; there are auto, gpu, cpu`);
  }
}

// A model on the device that there is now.
async function upscaler(number) {
  const kept = models.get(number);
  if (!kept) throw failure('this upscaler is closed');
  const { module, device, kind } = await place(kept.device);
  if (kept.on !== device) {
    kept.made?.free();
    const { Upscaler } = module;
    kept.made = typeof kept.model === 'string' ? Upscaler.filter(device, kept.model) : Upscaler.network(device, kept.model);
    kept.on = device;
  }
  return { by: kept.made, kind };
}

// A worker hears that it is to end only between two tasks, and a CPU that computes makes none by itself.
const breath = () => new Promise((resolve) => setTimeout(resolve));

// The sides of a result: rounded to the nearest pixel, halves up.
function sizeOf(width, height, { scale, to }) {
  if (to) {
    if (![to.width, to.height].every((side) => Number.isInteger(side) && side > 0)) {
      throw failure(`the size is ${to.width}x${to.height}, expected whole numbers from 1 on`);
    }
    return to;
  }
  if (!(scale >= 1)) throw failure(`the factor is ${scale}, expected a number from 1 on`);
  const [wide, high] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  return { width: wide, height: high };
}

const methods = {
  async devices() {
    const { device, why } = await place();
    const { name, class: kind, software } = device;
    return [{ name, kind, software, ...(why && { why }) }];
  },

  async load(model, device) {
    const number = ++count;
    models.set(number, { model, device });
    try {
      return { number, scales: Array.from((await upscaler(number)).by.scales) };
    } catch (error) {
      models.delete(number);
      throw error;
    }
  },

  async unload(number) {
    models.get(number)?.made?.free();
    models.delete(number);
  },

  async upscale(number, source, size, as, { onProgress, signal }) {
    const { by, kind } = await upscaler(number);
    const { data, width, height } = await pixelsOf(source);
    const opaque = hasNoAlpha(data);
    const { width: wide, height: high } = sizeOf(width, height, size);
    const into = as === 'png' ? new PngWriter(wide, high, opaque) : new Whole(wide, high);
    let last = 0;
    const told = (share) => {
      if (share > last) onProgress?.((last = share));
      return kind === 'cpu' ? breath() : undefined;
    };
    try {
      await by.upscale(data, width, height, opaque, wide, high, (rows) => into.write(rows), told, () => signal?.aborted ?? false);
      return await into.end();
    } catch (error) {
      into.abort();
      throw error;
    }
  },

  async layer(w, b, description, device) {
    const number = ++count;
    const layer = { w: floats('weight', w), b: b && floats('bias', b instanceof Float32Array ? { data: b, shape: [b.length] } : b), description, device };
    await packed(layer);
    layers.set(number, layer);
    return { number };
  },

  async run(number, x, kernel) {
    const layer = layers.get(number);
    if (!layer) throw failure('this layer is closed');
    const [data, shape] = await (await packed(layer)).run(...floats('input', x), kernel);
    return { data, shape: Array.from(shape) };
  },

  async measure(number, x, kernel, seconds) {
    const begun = performance.now();
    let made = await methods.run(number, x, kernel);
    const first = performance.now() - begun;
    const times = [];
    while (times.length < 3 || performance.now() - begun < seconds * 1000) {
      const begun = performance.now();
      made = await methods.run(number, x, kernel);
      times.push(performance.now() - begun);
    }
    times.sort((one, other) => one - other);
    return { first, median: times[times.length >> 1], runs: times.length, ...made };
  },

  async dropLayer(number) {
    layers.get(number)?.made?.free();
    layers.delete(number);
  },
};

// A layer's weights on the device that there is now.
async function packed(layer) {
  const { module, device } = await place(layer.device);
  if (layer.on !== device) {
    layer.made?.free();
    layer.made = new module.Layer(device, ...layer.w, layer.b?.[0], layer.description);
    layer.on = device;
  }
  return layer.made;
}

function floats(what, { data, shape }) {
  if (!(data instanceof Float32Array)) throw failure(`the ${what}'s data are no Float32Array`);
  return [data, Uint32Array.from(shape)];
}

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
