/** A filter, the name of a network that comes with the package, or a network: its address or the bytes of its .safetensors. */
export type Model = Filter | NetworkName | URL | (string & {}) | ArrayBuffer | ArrayBufferView | Blob;
export type Filter = 'nearest' | 'bilinear' | 'bicubic' | 'lanczos3';
export type NetworkName = 'waifu2x-photo' | 'waifu2x-art';

/** A picture: a file, which the browser decodes, or pixels. */
export type Source = Blob | ImageBitmap | ImageData | OffscreenCanvas | VideoFrame;

/** The names of the filters, the simplest first. */
export const filters: readonly Filter[];
/** The networks that come with the package, and where their files are. */
export const networks: Readonly<Record<NetworkName, URL>>;

/** An `Error` whose `message` is a sentence for a person. */
export interface UpconvError extends Error {
  /**
   * `no-webgpu`, `no-adapter`: there is no GPU here, and none but a GPU was asked for. `lost`: the device was lost; the next call asks for a new one.
   * `failed`: a defect of upconv's own.
   */
  code?: 'no-webgpu' | 'no-adapter' | 'lost' | 'failed';
}

export interface CreateOptions {
  /** `'bicubic'` without it. */
  model?: Model;
  /** Whether the work is done in a worker, which all upscalers share: `true` without it. */
  worker?: boolean;
  device?: Place;
}

/** Where to compute. `auto`, without it: with WebGPU, and on the CPU where there is none; `devices()` says which it is. */
export type Place = 'auto' | 'gpu' | 'cpu';

export interface UpscaleOptions {
  /**
   * The factor, 2 without it; sides are rounded to the nearest pixel. By a filter up to 64, by a network up to the largest of
   * `scales`: what it makes is reduced where that is larger.
   */
  scale?: number;
  /** The size of the result in pixels, in place of a factor: both of them. */
  width?: number;
  height?: number;
  /** Hears the share that is done, from 0 to 1. */
  onProgress?: (share: number) => void;
  /** Ends the work between two tiles; the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
}

/** Enlarges pictures, by a filter or by a trained network. */
export class Upscaler {
  private constructor();
  static create(options?: CreateOptions): Promise<Upscaler>;
  /** The whole factors that it enlarges by. */
  readonly scales: readonly number[];
  /** Straight alpha, sRGB. Pictures are enlarged one after the other. */
  upscale(source: Source, options?: UpscaleOptions & { as?: 'image' }): Promise<ImageData>;
  /** As the file of a picture. */
  upscale(source: Source, options: UpscaleOptions & { as: 'png' }): Promise<Blob>;
  /** Frees what the model takes on the device. */
  close(): void;
}

/** Elements in C order: the last axis varies fastest. */
export interface Tensor {
  data: Float32Array;
  shape: readonly number[];
}

/** A description of the operation, in the keys of upconv's OP.json: strides, pads, output_padding, convention, … */
export interface ConvTransposeOptions {
  strides?: number | number[];
  dilations?: number | number[];
  pads?: number | number[][] | number[];
  output_padding?: number | number[];
  groups?: number;
  convention?: 'explicit' | 'pytorch' | 'onnx' | 'webnn' | 'tensorflow' | 'keras' | 'jax' | 'mxnet';
  activation?: { kind: string; [key: string]: unknown };
  accuracy?: 'elementwise' | 'normwise';
  /** Which kernel computes it; the fastest by estimate without it. */
  kernel?: 'gather' | 'direct' | 'tiled' | 'winograd';
  worker?: boolean;
  device?: Place;
  [key: string]: unknown;
}

/** A transposed convolution with its weights, which are packed once, at the first run. */
export class ConvTranspose {
  private constructor();
  /** The weight `[in, out / groups, …]`, the bias `[out]`. */
  static create(w: Tensor, b?: Float32Array | Tensor | null, options?: ConvTransposeOptions): Promise<ConvTranspose>;
  /** Of an input `[n, in, …]`. */
  run(x: Tensor): Promise<{ data: Float32Array; shape: number[] }>;
  /**
   * Runs it for so many seconds, 1 without them, at least three times, behind a first run that compiles. In milliseconds, from an
   * array to an array; without what a worker takes to send and receive them.
   */
  measure(x: Tensor, options?: { seconds?: number }): Promise<{ first: number; median: number; runs: number; data: Float32Array; shape: number[] }>;
  /** Frees what it takes on the device. */
  close(): void;
}

/** A transposed convolution that is computed once: the input `[n, in, …]`, the weight `[in, out / groups, …]`, the bias `[out]`. */
export function convTranspose(
  x: Tensor,
  w: Tensor,
  b?: Float32Array | Tensor | null,
  options?: ConvTransposeOptions,
): Promise<{ data: Float32Array; shape: number[] }>;

export interface Device {
  /** What the browser calls it. */
  name: string;
  /** What the plans are made for. */
  kind: 'Desktop' | 'Nvidia' | 'Mobile' | 'Software' | 'Unknown' | 'Cpu';
  /** Whether it computes on the CPU. */
  software: boolean;
  /** Why it is the CPU itself. */
  why?: string;
}

/** What computes by itself: the adapter that the browser gives, or the CPU. */
export function devices(options?: { worker?: boolean }): Promise<Device[]>;
