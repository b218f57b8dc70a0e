// The operation in the browser: cases of ONNX, and random operations on integers, which have to be exact.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { start } from './browser.js';
import { compute, readCase } from './cases.js';
import { compare, scatter } from '../page/reference.js';

let browser;
let page;
before(async () => {
  browser = await start();
  page = await browser.open();
});
after(() => browser?.close());

const HOW = [{}, { kernel: 'gather' }, { kernel: 'direct' }, { kernel: 'tiled' }, { kernel: 'winograd' }, { device: 'cpu' }];
const named = ({ kernel, device }) => kernel ?? device ?? 'the kernel of the plan';

const folder = fileURLToPath(new URL('../../tests/data/onnx/', import.meta.url));
const onnx = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());

for (const how of HOW) {
  test(`the cases of ONNX by ${named(how)}`, async () => {
    const cases = onnx.map(({ name }) => ({ name, ...readCase(`${folder}${name}`) }));
    assert.ok(cases.length >= 13);
    const made = await compute(page, cases, how);
    made.forEach(({ error, shape, data }, index) => {
      const { name, y, description } = cases[index];
      assert.equal(error, undefined, `${name}: ${error}`);
      assert.deepEqual(shape, y.shape, name);
      // Winograd's bound is one of the whole, in proportion to the largest value.
      const scale = how.kernel === 'winograd' ? 50 * Math.max(1, ...y.data.map(Math.abs)) : 1;
      const { atol, rtol } = description;
      data.forEach((value, at) => {
        const wrong = Math.abs(value - y.data[at]);
        assert.ok(wrong <= scale * (atol + rtol * Math.abs(y.data[at])), `${name}, ${at}: ${value} in place of ${y.data[at]}`);
      });
    });
  });
}

// The same numbers on every run.
function generator(seed) {
  let state = seed;
  return (least, most) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return least + Math.floor((state / 2 ** 32) * (most - least + 1));
  };
}

function randomCase(random) {
  const rank = random(1, 3);
  const axes = (least, most) => Array.from({ length: rank }, () => random(least, most));
  for (;;) {
    const groups = random(1, 3);
    const [inPerGroup, outPerGroup] = [random(1, 9), random(1, 5)];
    const [kernel, strides, dilations] = [axes(1, 5), axes(1, 4), axes(1, 3)];
    const extents = axes(1, rank === 1 ? 40 : rank === 2 ? 13 : 6);
    const pads = axes(0, 3).map((pad) => [pad, random(0, 2)]);
    const output_padding = strides.map((stride) => random(0, stride - 1));
    const description = { strides, dilations, pads, output_padding, groups };
    const x = { shape: [random(1, 2), groups * inPerGroup, ...extents] };
    const w = { shape: [groups * inPerGroup, outPerGroup, ...kernel] };
    const b = random(0, 1) ? { shape: [groups * outPerGroup] } : undefined;
    for (const array of [x, w, b]) {
      if (array) array.data = Array.from({ length: array.shape.reduce((a, b) => a * b) }, () => random(-4, 4));
    }
    const y = scatter(x, w, b, description);
    if (y) return { description, x, w, b, y };
  }
}

// What is judged by it has to fail where it is wrong: a value that is missing, NaN, off, or of a mirrored output.
test('the comparison finds what is wrong', () => {
  const { x, w, b, y } = randomCase(generator(7));
  const right = { shape: y.shape, data: Float32Array.from(y.data) };
  const share = (change) => {
    const data = right.data.slice();
    change(data);
    return compare({ shape: y.shape, data }, y, { x, w, b }).share;
  };
  assert.equal(share(() => {}), 0);
  for (const change of [(data) => (data[3] = NaN), (data) => (data[0] += 1), (data) => data.reverse()]) assert.ok(share(change) > 1);
  assert.equal(compare({ ...right, shape: [...y.shape].reverse() }, y).share, Infinity);
});

for (const how of HOW.filter(({ kernel }) => kernel !== 'winograd')) {
  test(`random operations on integers are exact by ${named(how)}`, async () => {
    const random = generator(2026);
    // Compilers take long for the tiles of these.
    const length = ['direct', 'tiled'].includes(how.kernel) ? 24 : 60;
    const cases = Array.from({ length }, () => randomCase(random));
    const made = await compute(page, cases, how);
    made.forEach(({ error, shape, data, refused }, index) => {
      const { y, description, x, w } = cases[index];
      const told = `${index}: x ${x.shape}, w ${w.shape}, ${JSON.stringify(description)}`;
      assert.equal(error, undefined, `${told}: ${error}`);
      assert.ok(!refused || how.kernel !== 'gather', told);
      assert.deepEqual(shape, y.shape, told);
      assert.deepEqual([...data], [...y.data.map((value) => value + 0)], told);
    });
    // Most are computed by the kernel that was named.
    assert.ok(made.filter(({ refused }) => !refused).length > length / 2);
  });
}
