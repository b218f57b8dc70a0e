// The package, called as a page calls it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from './browser.js';
import { upscale } from './native.js';
import { decode, difference, png, translucent } from './pictures.js';

let browser;
let page;
before(async () => {
  browser = await start();
  page = await browser.open();
  await page.evaluate(async () => (window.upconv = await import('./upconv/index.js')));
});
after(() => browser?.close());

// Dive into Deep Learning, 14.10.
const x = { data: [0, 1, 2, 3], shape: [1, 1, 2, 2] };
const products = { 1: [[0, 0, 1], [0, 4, 6], [4, 12, 9]], 2: [[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]] };

const convTranspose = (x, w, b, options) =>
  page.evaluate(
    async ([x, w, b, options]) => {
      const floats = (tensor) => ({ ...tensor, data: Float32Array.from(tensor.data) });
      try {
        const { data, shape } = await window.upconv.convTranspose(floats(x), floats(w), b && Float32Array.from(b), options);
        return { data: [...data], shape };
      } catch (error) {
        return { error: error.message };
      }
    },
    [x, w, b, options],
  );

for (const worker of [true, false]) {
  for (const kernel of [undefined, 'gather', 'direct', 'tiled']) {
    for (const strides of [1, 2]) {
      test(`the example of the book by ${kernel ?? 'the kernel of the plan'}, stride ${strides}, ${worker ? 'in a worker' : 'on the page'}`, async () => {
        const expected = products[strides];
        const made = await convTranspose(x, x, null, { strides, kernel, worker });
        assert.deepEqual(made, { data: expected.flat(), shape: [1, 1, expected.length, expected.length] });
      });
    }
  }
}

// A kernel of 3×3 of stride 1, which winograd takes: sums of what lies around, here small integers.
test('winograd computes what gather does', async () => {
  const plane = Array.from({ length: 81 }, (_, index) => (index * 7) % 5);
  const [input, weight] = [{ data: plane, shape: [1, 1, 9, 9] }, { data: [1, 2, 0, 3, 1, 2, 0, 1, 4], shape: [1, 1, 3, 3] }];
  const made = [];
  for (const kernel of ['gather', 'winograd']) made.push(await convTranspose(input, weight, null, { kernel }));
  assert.deepEqual(made[1].shape, made[0].shape);
  made[0].data.forEach((value, index) => assert.ok(Math.abs(value - made[1].data[index]) < 1e-3, `${index}`));
});

test('a bias is added, and a convention of a framework is understood', async () => {
  const made = await convTranspose(x, x, [10], { convention: 'pytorch', stride: 2, padding: 1 });
  assert.deepEqual(made, { data: [10, 12, 12, 10], shape: [1, 1, 2, 2] });
});

test('errors are the library’s sentences', async () => {
  const sentences = [
    [await convTranspose({ data: [1, 2, 3], shape: [1, 1, 2, 2] }, x, null, {}), 'shape [1, 1, 2, 2] holds 4 elements, but 3 were given'],
    [await convTranspose(x, x, null, { kernel: 'x' }), 'there is no kernel "x"; there are gather, direct, tiled, winograd, matrix'],
    [await convTranspose(x, x, null, { kernel: 'matrix' }), /^kernel matrix cannot run this: /],
    [await convTranspose(x, x, null, { stride: 2 }), /strides/],
  ];
  for (const [{ error }, expected] of sentences) {
    if (typeof expected === 'string') assert.equal(error, expected);
    else assert.match(error, expected);
  }
});

test('every kind of source gives the same, straight alpha too', async () => {
  const { data, width, height } = translucent(33, 21);
  const opaque = data.map((value, index) => (index % 4 === 3 ? 255 : value));
  const made = await page.evaluate(
    async ({ opaque, data, width, height }) => {
      const { Upscaler } = window.upconv;
      const upscaler = await Upscaler.create({ model: 'bicubic' });
      const image = new ImageData(Uint8ClampedArray.from(opaque), width, height);
      const canvas = new OffscreenCanvas(width, height);
      canvas.getContext('2d').putImageData(image, 0, 0);
      const frame = new VideoFrame(image.data, { format: 'RGBA', codedWidth: width, codedHeight: height, timestamp: 0 });
      const sources = [image, canvas, await createImageBitmap(image), await canvas.convertToBlob(), frame];
      const results = [];
      for (const source of sources) results.push([...(await upscaler.upscale(source)).data]);
      const translucent = await upscaler.upscale(new ImageData(Uint8ClampedArray.from(data), width, height), { scale: 3 });
      upscaler.close();
      return { results, translucent: [...translucent.data] };
    },
    { opaque: [...opaque], data: [...data], width, height },
  );
  for (const result of made.results) assert.deepEqual(result, made.results[0]);
  const native = (data, scale) => decode(upscale(png({ data, width, height }), '--scale', `${scale}`, '--method', 'bicubic'));
  const picture = (data, scale) => ({ data, width: width * scale, height: height * scale });
  assert.ok(difference(picture(made.results[0], 2), native(opaque, 2)) <= 1);
  assert.ok(difference(picture(made.translucent, 3), native(data, 3)) <= 1);
});

test('a factor that is not whole, and a size, are what the program makes of them', async () => {
  const { data, width, height } = translucent(33, 21);
  const opaque = data.map((value, index) => (index % 4 === 3 ? 255 : value));
  for (const [model, size, native] of [
    ['lanczos3', { scale: 1.5 }, ['--method', 'lanczos3', '--scale', '1.5']],
    ['bicubic', { width: 20, height: 40 }, ['--method', 'bicubic', '--width', '20', '--height', '40']],
    ['waifu2x-photo', { scale: 3 }, ['--model', 'waifu2x-photo', '--scale', '3']],
    ['waifu2x-photo', { width: 50, height: 30 }, ['--model', 'waifu2x-photo', '--width', '50', '--height', '30']],
  ]) {
    for (const [device, samples] of [['gpu', data], ['cpu', opaque]]) {
      const made = await page.evaluate(
        async ({ model, size, device, data, width, height }) => {
          const upscaler = await window.upconv.Upscaler.create({ model, device });
          const made = await upscaler.upscale(new ImageData(Uint8ClampedArray.from(data), width, height), size);
          upscaler.close();
          return { data: [...made.data], width: made.width, height: made.height };
        },
        { model, size, device, data: [...samples], width, height },
      );
      const expected = decode(upscale(png({ data: samples, width, height }), ...native));
      assert.ok(difference(made, expected) <= 1, `${model} on ${device}: ${difference(made, expected)} levels`);
    }
  }
});

test('a signal ends the work with its own reason', async () => {
  const reason = await page.evaluate(async () => {
    const upscaler = await window.upconv.Upscaler.create({ model: 'nearest' });
    const abort = new AbortController();
    const picture = new ImageData(3000, 2000);
    const onProgress = (share) => share > 0 && abort.abort(new Error('enough'));
    return upscaler.upscale(picture, { scale: 2, signal: abort.signal, onProgress }).then(() => 'done', (error) => error.message);
  });
  assert.equal(reason, 'enough');
});

test('progress goes from piece to piece up to 1', async () => {
  const shares = await page.evaluate(async () => {
    const upscaler = await window.upconv.Upscaler.create({ model: 'bilinear' });
    const shares = [];
    await upscaler.upscale(new ImageData(1500, 1000), { onProgress: (share) => shares.push(share) });
    return shares;
  });
  assert.ok(shares.length > 2 && shares.at(-1) === 1, `${shares}`);
  shares.reduce((before, share) => (assert.ok(share > before), share), 0);
});

test('what cannot be is refused with numbers, and the upscaler goes on', async () => {
  const sentences = await page.evaluate(async () => {
    const { Upscaler } = window.upconv;
    const upscaler = await Upscaler.create({ model: 'bicubic' });
    const network = await Upscaler.create({ model: 'waifu2x-photo' });
    const message = (promise) => promise.then(() => 'done', (error) => error.message);
    return [
      await message(upscaler.upscale(new ImageData(4, 4), { scale: 0.5 })),
      await message(upscaler.upscale(new ImageData(4, 4), { scale: 'two' })),
      await message(upscaler.upscale(new ImageData(4, 4), { width: 7 })),
      await message(network.upscale(new ImageData(4, 4), { scale: 4.5 })),
      await message(upscaler.upscale(new ImageData(6000, 6000), { scale: 8 })),
      await message(upscaler.upscale('a text', { scale: 2 })),
      await message(Upscaler.create({ model: 'bicubik' })),
      await message(Upscaler.create({ device: 'tpu' })),
      await message(Upscaler.create({ model: './upconv/models/none.safetensors' })),
      await message(upscaler.upscale(new ImageData(4, 4), { scale: 2 })),
    ];
  });
  assert.deepEqual(sentences, [
    'the factor is 0.5, expected a number from 1 on',
    'the factor is two, expected a number from 1 on',
    'the size is 7xundefined, expected whole numbers from 1 on',
    'network: 18x18 pixels are out of reach: it enlarges 4x4 to at most 16x16, by the square of its factor 2',
    'the result of 48000x48000 pixels takes 8790 MiB, more than the 4096 of one ImageData; as a PNG it may be larger',
    'expected a Blob, an ImageBitmap, ImageData, an OffscreenCanvas or a VideoFrame',
    'there is no model "bicubik"; there are nearest, bilinear, bicubic, lanczos3, waifu2x-photo, waifu2x-art, and networks by their address or their bytes',
    'there is no device "tpu"; there are auto, gpu, cpu',
    'the network at ./upconv/models/none.safetensors cannot be loaded: the server says 404',
    'done',
  ]);
});

// What the browser refuses while it computes has to arrive as an error, never as zeros; and what comes after it is right again.
for (const [what, spoil, sentence] of [
  ['a kernel that does not compile', 'createShaderModule', /^.*(shader|pipeline|invalid).*$/is],
  ['a buffer beyond all memory', 'createBuffer', /^.*(buffer|memory|size).*$/is],
]) {
  test(`${what} is an error, and the next run is right`, async () => {
    const [first, second] = await page.evaluate(async (spoil) => {
      const { convTranspose } = window.upconv;
      // A shape of its own, for which nothing was compiled yet.
      const tensor = (shape) => ({ data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, at) => at % 3), shape });
      const run = () =>
        convTranspose(tensor([1, 2, 5, 7]), tensor([2, 3, 3, 2]), null, { strides: [3, 2], kernel: 'direct', worker: false, device: 'gpu' });
      const real = GPUDevice.prototype[spoil];
      GPUDevice.prototype[spoil] = function (descriptor) {
        return real.call(this, spoil === 'createBuffer' ? { ...descriptor, size: 2 ** 42 } : { ...descriptor, code: 'fn main() { return 1; }' });
      };
      const told = (promise) => promise.then(({ data }) => [...data], (error) => error.message);
      const first = await told(run());
      GPUDevice.prototype[spoil] = real;
      return [first, await told(run())];
    }, spoil);
    assert.equal(typeof first, 'string', `${first}`);
    assert.match(first, sentence);
    assert.ok(Array.isArray(second), `${second}`);
    assert.ok(second.some((value) => value !== 0));
  });
}

test('the device is named', async () => {
  const [device] = await page.evaluate(() => window.upconv.devices());
  assert.equal(device.software, true);
  assert.equal(device.kind, 'Software');
});
