// The definition, literally: each input is multiplied by the kernel and added where it lands.

/** The output, in numbers of 64 bits; nothing where padding leaves none. Channels come second. */
export function scatter(x, w, b, { strides, dilations, pads, output_padding, groups }) {
  const [batch, inChannels, ...extents] = x.shape;
  const [, outPerGroup, ...kernel] = w.shape;
  const inPerGroup = inChannels / groups;
  const out = extents.map((extent, axis) => {
    const full = (extent - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1;
    return full + output_padding[axis] - pads[axis][0] - pads[axis][1];
  });
  if (out.some((extent) => extent < 1)) return undefined;
  const size = (shape) => shape.reduce((product, extent) => product * extent, 1);
  const [inPlane, taps, outPlane] = [extents, kernel, out].map(size);
  const outChannels = groups * outPerGroup;
  const data = Array.from({ length: batch * outChannels * outPlane }, (_, at) => b?.data[Math.floor(at / outPlane) % outChannels] ?? 0);
  // The coordinates of an element.
  const places = (shape) =>
    Array.from({ length: size(shape) }, (_, index) => {
      const place = [];
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        place[axis] = index % shape[axis];
        index = Math.floor(index / shape[axis]);
      }
      return place;
    });
  const landing = (place, tap) => {
    let at = 0;
    for (let axis = 0; axis < out.length; axis++) {
      const o = place[axis] * strides[axis] + tap[axis] * dilations[axis] - pads[axis][0];
      if (o < 0 || o >= out[axis]) return -1;
      at = at * out[axis] + o;
    }
    return at;
  };
  places(extents).forEach((place, i) => {
    places(kernel).forEach((tap, k) => {
      const at = landing(place, tap);
      if (at < 0) return;
      for (let n = 0; n < batch; n++) {
        for (let ci = 0; ci < inChannels; ci++) {
          const group = Math.floor(ci / inPerGroup);
          for (let co = 0; co < outPerGroup; co++) {
            const product = x.data[(n * inChannels + ci) * inPlane + i] * w.data[(ci * outPerGroup + co) * taps + k];
            data[(n * outChannels + group * outPerGroup + co) * outPlane + at] += product;
          }
        }
      }
    });
  });
  return { shape: [batch, outChannels, ...out], data };
}
