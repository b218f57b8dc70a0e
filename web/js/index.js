// What a page calls. The work is done in a worker that all upscalers share, or, where a caller wants none, right here.

import { failure } from './failure.js';

/** The names of the filters, the simplest first. */
export const filters = ['nearest', 'bilinear', 'bicubic', 'lanczos3'];

/** The networks that come with the package: their names, and where their files are. */
export const networks = {
  'waifu2x-photo': new URL('./models/waifu2x-photo.safetensors', import.meta.url),
  'waifu2x-art': new URL('./models/waifu2x-art.safetensors', import.meta.url),
};

// What a host keeps: made once, and again in a new worker where one has failed.
class Kept {
  #worker;
  #make;
  #drop;
  #loaded;

  /** Methods of the engine: `make`, with its arguments, gives `{ number, … }`; `drop` takes the number. */
  constructor(worker, make, args, drop) {
    this.#worker = worker;
    this.#make = [make, args];
    this.#drop = drop;
  }

  /** What was made, and the host that has it. */
  async load() {
    if (!this.#loaded?.host.isAlive) {
      const host = await hostFor(this.#worker);
      this.#loaded = { host, ...(await host.call(...this.#make)) };
    }
    return this.#loaded;
  }

  get loaded() {
    return this.#loaded;
  }

  drop() {
    if (this.#loaded?.host.isAlive) this.#loaded.host.call(this.#drop, [this.#loaded.number]).catch(() => {});
    this.#loaded = undefined;
  }
}

/** Enlarges pictures, by a filter or by a trained network. */
export class Upscaler {
  #kept;

  /** Use `Upscaler.create`. */
  constructor(kept) {
    this.#kept = kept;
  }

  static async create({ model = 'bicubic', worker = true, device = 'auto' } = {}) {
    const kept = new Kept(worker, 'load', [await fetched(model), device], 'unload');
    await kept.load();
    return new Upscaler(kept);
  }

  /** The factors that it enlarges by. */
  get scales() {
    return [...this.#kept.loaded.scales];
  }

  async upscale(source, { scale, width, height, as = 'image', onProgress, signal } = {}) {
    signal?.throwIfAborted();
    const { host, number } = await this.#kept.load();
    // The other kinds of pictures can be sent as they are.
    const sent = globalThis.OffscreenCanvas && source instanceof OffscreenCanvas ? await createImageBitmap(source) : source;
    const to = width !== undefined || height !== undefined ? { width, height } : undefined;
    const size = { to, scale: scale ?? (this.scales.includes(2) ? 2 : this.scales[0]) };
    const made = await host.call('upscale', [number, sent, size, as], { onProgress, signal });
    return as === 'image' ? new ImageData(made.data, made.width, made.height) : made;
  }

  /** Frees what the model takes on the device. */
  close() {
    this.#kept.drop();
  }
}

/** A transposed convolution with its weights, which are packed once. */
export class ConvTranspose {
  #kept;
  #kernel;

  /** Use `ConvTranspose.create`. */
  constructor(kept, kernel) {
    this.#kept = kept;
    this.#kernel = kernel;
  }

  static async create(w, b = null, { worker = true, device, ...options } = {}) {
    const { kernel, ...rest } = options;
    // MXNet's description has a key of this name, which is no text.
    const isName = typeof kernel === 'string';
    const description = JSON.stringify(isName || kernel === undefined ? rest : options);
    const kept = new Kept(worker, 'layer', [w, b, description, device], 'dropLayer');
    await kept.load();
    return new ConvTranspose(kept, isName ? kernel : undefined);
  }

  async run(x) {
    const { host, number } = await this.#kept.load();
    return host.call('run', [number, x, this.#kernel]);
  }

  /** Runs it for so many seconds, at least three times, behind a first run that compiles. */
  async measure(x, { seconds = 1 } = {}) {
    const { host, number } = await this.#kept.load();
    return host.call('measure', [number, x, this.#kernel, seconds]);
  }

  /** Frees what it takes on the device. */
  close() {
    this.#kept.drop();
  }
}

/** A transposed convolution that is computed once. */
export async function convTranspose(x, w, b, options) {
  const layer = await ConvTranspose.create(w, b, options);
  try {
    return await layer.run(x);
  } finally {
    layer.close();
  }
}

/** What computes by itself: the adapter that the browser gives, or, with the reason why, the CPU. */
export async function devices({ worker = true } = {}) {
  return (await hostFor(worker)).call('devices', []);
}

// A filter's name, or the bytes of a network.
async function fetched(model) {
  if (filters.includes(model)) return model;
  if (model instanceof Blob) return new Uint8Array(await model.arrayBuffer());
  if (model instanceof ArrayBuffer) return new Uint8Array(model);
  if (ArrayBuffer.isView(model)) return new Uint8Array(model.buffer, model.byteOffset, model.byteLength);
  const address = networks[model] ?? model;
  if (!(address instanceof URL) && !/[./]/.test(address)) {
    const known = [...filters, ...Object.keys(networks)].join(', ');
    throw failure(`there is no model "${address}"; there are ${known}, and networks by their address or their bytes`);
  }
  let answer;
  try {
    answer = await fetch(address);
  } catch (error) {
    throw failure(`the network at ${address} cannot be loaded: ${error.message}`);
  }
  if (!answer.ok) throw failure(`the network at ${address} cannot be loaded: the server says ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

// Where the work is done.

let inWorker;
let here;

async function hostFor(worker) {
  if (worker) {
    if (!inWorker?.isAlive) inWorker = new WorkerHost();
    return inWorker;
  }
  here ??= import('./engine.js').then(({ call }) => ({ isAlive: true, call }));
  return here;
}

class WorkerHost {
  isAlive = true;
  #worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'upconv' });
  #calls = new Map();
  #count = 0;

  constructor() {
    this.#worker.onmessage = ({ data }) => this.#answer(data);
    this.#worker.onerror = (event) => {
      event.preventDefault?.();
      this.#end(failure(`the worker failed: ${event.message ?? 'its script cannot be loaded'}`));
    };
  }

  call(method, args, { onProgress, signal } = {}) {
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      const cancel = () => this.#worker.postMessage({ cancel: id });
      signal?.addEventListener('abort', cancel, { once: true });
      const done = () => {
        signal?.removeEventListener('abort', cancel);
        this.#calls.delete(id);
      };
      this.#calls.set(id, {
        onProgress,
        resolve: (result) => (done(), resolve(result)),
        reject: (error) => (done(), reject(error.code === 'cancelled' && signal ? signal.reason : error)),
      });
      try {
        this.#worker.postMessage({ id, method, args });
      } catch (error) {
        this.#calls.get(id).reject(failure(`this cannot be sent to a worker: ${error.message}`));
      }
    });
  }

  #answer({ id, progress, result, error }) {
    const call = this.#calls.get(id);
    if (!call) return;
    if (progress !== undefined) call.onProgress?.(progress);
    else if (!error) call.resolve(result);
    else if (error.code === 'failed') this.#end(failure(error.message, error.code));
    else call.reject(failure(error.message, error.code));
  }

  // After a defect nothing in the worker is to be trusted: the next call starts a new one.
  #end(error) {
    this.isAlive = false;
    this.#worker.terminate();
    for (const call of [...this.#calls.values()]) call.reject(error);
  }
}
