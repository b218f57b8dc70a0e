// The layers that are verified: small, from well-known networks and edge cases, so that every part of every kernel has its turn.

const both = (value) => [value, value];

/** Of each: the input and the weight, `[n, in, …]` and `[in, out / groups, …]`, and what is not 1 or 0. */
export const verified = [
  { name: 'dcgan, 4x4 to 8x8', x: [2, 64, 4, 4], w: [64, 32, 4, 4], strides: both(2), pads: both([1, 1]) },
  { name: 'u-net, kernel = stride', x: [1, 32, 24, 24], w: [32, 16, 2, 2], strides: both(2) },
  { name: 'fsrcnn, kernel 9', x: [1, 12, 20, 33], w: [12, 1, 9, 9], strides: both(2), pads: both([4, 4]), output_padding: both(1) },
  { name: 'fcn, kernel 64 stride 32', x: [1, 3, 3, 4], w: [3, 3, 64, 64], strides: both(32), pads: both([16, 16]) },
  { name: 'hifigan, 1-D', x: [1, 48, 50], w: [48, 24, 16], strides: [8], pads: [[4, 4]] },
  { name: 'depthwise', x: [1, 24, 17, 19], w: [24, 1, 4, 4], strides: both(2), pads: both([1, 1]), groups: 24 },
  { name: 'groups, multiplier 3', x: [2, 4, 9, 7], w: [4, 3, 3, 3], strides: [2, 1], groups: 4 },
  { name: '3-D', x: [1, 8, 5, 6, 7], w: [8, 6, 4, 4, 4], strides: [2, 2, 2], pads: [[1, 1], [1, 1], [1, 1]] },
  { name: 'stride 1', x: [1, 16, 21, 21], w: [16, 16, 3, 3], pads: both([1, 1]) },
  { name: 'dilation 6, stride 4', x: [1, 3, 7, 8], w: [3, 5, 5, 3], strides: both(4), dilations: [6, 3] },
  { name: 'stride beyond the kernel', x: [2, 2, 6, 7], w: [2, 3, 2, 1], strides: [5, 3] },
  // Drivers exist that end a long loop early, and report nothing. No product is negative, so that what is missing shows.
  { name: '8192 input channels', x: [1, 8192, 2, 3], w: [8192, 1, 2, 2], strides: both(2), least: 0 },
  { name: '70,000 input channels', x: [1, 70_000, 4], w: [70_000, 2, 1], least: 0 },
];

/** A layer of workloads.json, described alike. Layouts and types that this package has no words for are left out. */
export function measured(table) {
  const plain = table.filter(({ channels_last, f16, only_by_name }) => !channels_last && !f16 && !only_by_name);
  return plain.map(({ name, title, input, out_channels, groups = 1, kernel, stride, padding, output_padding }) => ({
    name,
    title,
    x: input,
    w: [input[1], out_channels / groups, ...kernel],
    strides: stride,
    pads: padding.map((pad) => [pad, pad]),
    ...(output_padding && { output_padding }),
    groups,
  }));
}

/** An array of this shape with seeded numbers from `least` to 1. */
export function numbers(shape, seed, least = -1) {
  let state = seed * 2654435761 + 1;
  const data = Float32Array.from({ length: shape.reduce((product, extent) => product * extent, 1) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return least + (state / 2 ** 32) * (1 - least);
  });
  return { data, shape };
}

/** Its arrays, and the keys of its description. */
export function withNumbers({ x, w, least, name, title, ...description }) {
  const outChannels = w[1] * (description.groups ?? 1);
  return { x: numbers(x, 1, least), w: numbers(w, 2, least), b: numbers([outChannels], 3, least), description };
}
