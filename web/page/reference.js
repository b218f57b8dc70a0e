// The definition, literally: each input is multiplied by the kernel and added where it lands. The kernels gather instead.

const size = (shape) => shape.reduce((product, extent) => product * extent, 1);

/** The factor between two neighbouring numbers of 32 bits. */
export const EPSILON = 2 ** -23;

/**
 * The output `[n, out, …]` of an input `[n, in, …]` and a weight `[in, out / groups, …]` in numbers of 64 bits, and for each element
 * how many products it sums and what their magnitudes add up to, the bias counted in both. Nothing where padding leaves none.
 */
export function scatter(x, w, b, { strides, dilations, pads, output_padding, groups = 1 }) {
  const [batch, inChannels, ...extents] = x.shape;
  const [, outPerGroup, ...kernel] = w.shape;
  const of = (values, axis, missing) => values?.[axis] ?? missing;
  const out = extents.map((extent, axis) => {
    const reach = (extent - 1) * of(strides, axis, 1) + (kernel[axis] - 1) * of(dilations, axis, 1) + 1;
    const [begin, end] = of(pads, axis, [0, 0]);
    return reach + of(output_padding, axis, 0) - begin - end;
  });
  if (out.some((extent) => extent < 1)) return undefined;
  const [inPlane, taps, outPlane] = [extents, kernel, out].map(size);
  const [inPerGroup, outChannels] = [inChannels / groups, groups * outPerGroup];
  const shape = [batch, outChannels, ...out];
  const [data, magnitudes, products] = Array.from({ length: 3 }, () => new Float64Array(size(shape)));
  if (b) {
    for (let at = 0; at < data.length; at++) {
      data[at] = b.data[Math.floor(at / outPlane) % outChannels];
      magnitudes[at] = Math.abs(data[at]);
      products[at] = 1;
    }
  }
  const [places, offsets] = [coordinates(extents), coordinates(kernel)];
  for (let i = 0; i < inPlane; i++) {
    for (let k = 0; k < taps; k++) {
      let o = 0;
      for (let axis = 0; axis < out.length && o >= 0; axis++) {
        const at = places[i][axis] * of(strides, axis, 1) + offsets[k][axis] * of(dilations, axis, 1) - of(pads, axis, [0, 0])[0];
        o = at < 0 || at >= out[axis] ? -1 : o * out[axis] + at;
      }
      if (o < 0) continue;
      for (let n = 0; n < batch; n++) {
        for (let ci = 0; ci < inChannels; ci++) {
          const factor = x.data[(n * inChannels + ci) * inPlane + i];
          const first = n * outChannels + Math.floor(ci / inPerGroup) * outPerGroup;
          for (let co = 0; co < outPerGroup; co++) {
            const product = factor * w.data[(ci * outPerGroup + co) * taps + k];
            const at = (first + co) * outPlane + o;
            data[at] += product;
            magnitudes[at] += Math.abs(product);
            products[at] += 1;
          }
        }
      }
    }
  }
  return { shape, data, magnitudes, products };
}

/**
 * How far a result is off: its largest error, and the largest as a share of what rounding may cause, products · ε · magnitudes of
 * each element; NaN, or a missing element, is infinitely far. Winograd's transforms have one bound for all elements of a channel,
 * (256 + in) · ε · the largest sum that any of them could have.
 */
export function compare(made, { shape, data, magnitudes, products }, { x, w, groups = 1, kernel } = {}) {
  if (made.shape.join() !== shape.join()) return { error: Infinity, share: Infinity };
  const largest = kernel === 'winograd' ? largestSums(x, w, groups) : undefined;
  const plane = size(shape.slice(2));
  let [error, share] = [0, 0];
  for (let at = 0; at < data.length; at++) {
    const off = Math.abs(made.data[at] - data[at]);
    const channel = Math.floor(at / plane);
    const bound = Math.max(products[at] * EPSILON * magnitudes[at], largest ? (256 + x.shape[1]) * EPSILON * largest[channel] : 0);
    if (!(off <= error)) error = Number.isNaN(off) ? Infinity : off;
    const of = off === 0 ? 0 : off / bound;
    if (!(of <= share)) share = Number.isNaN(of) ? Infinity : of;
  }
  return { error, share };
}

// Of each item of the batch and channel: the largest input of each channel, times all its taps.
function largestSums(x, w, groups) {
  const [batch, inChannels, ...extents] = x.shape;
  const [, outPerGroup, ...kernel] = w.shape;
  const [inPlane, taps, inPerGroup] = [size(extents), size(kernel), inChannels / groups];
  const sums = new Float64Array(batch * groups * outPerGroup);
  for (let n = 0; n < batch; n++) {
    for (let ci = 0; ci < inChannels; ci++) {
      let most = 0;
      for (let i = 0; i < inPlane; i++) most = Math.max(most, Math.abs(x.data[(n * inChannels + ci) * inPlane + i]));
      for (let co = 0; co < outPerGroup; co++) {
        let weights = 0;
        for (let k = 0; k < taps; k++) weights += Math.abs(w.data[(ci * outPerGroup + co) * taps + k]);
        sums[n * groups * outPerGroup + Math.floor(ci / inPerGroup) * outPerGroup + co] += most * weights;
      }
    }
  }
  return sums;
}

/** The coordinates of each element of an array of this shape, in their order. */
function coordinates(shape) {
  return Array.from({ length: size(shape) }, (_, index) => {
    const place = [];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      place[axis] = index % shape[axis];
      index = Math.floor(index / shape[axis]);
    }
    return place;
  });
}
