// The kernels by the browser's own compiler of WGSL: those of shaders/, and every variant that UPCONV_VARIANTS names a file of,
// written by `UPCONV_VARIANTS=FILE cargo test --release --lib -- --ignored every_variant_is_written`.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { start } from './browser.js';

let browser;
let page;
before(async () => {
  browser = await start();
  page = await browser.open();
});
after(() => browser?.close());

/** What the compiler says of those that it refuses. */
async function refused(sources) {
  return page.evaluate(async (sources) => {
    const adapter = await navigator.gpu.requestAdapter();
    const device = await adapter.requestDevice({ requiredFeatures: adapter.features.has('shader-f16') ? ['shader-f16'] : [] });
    const refused = [];
    for (const code of sources) {
      if (!device.features.has('shader-f16') && code.includes('enable f16;')) continue;
      device.pushErrorScope('validation');
      const module = device.createShaderModule({ code });
      const { messages } = await module.getCompilationInfo();
      const error = await device.popErrorScope();
      const errors = messages.filter(({ type }) => type === 'error').map(({ message, lineNum }) => `${lineNum}: ${message}`);
      if (error || errors.length) refused.push(`${errors.join('; ') || error.message}\n${code}`);
    }
    device.destroy();
    return refused;
  }, sources);
}

test('what is no WGSL is refused', async () => {
  assert.equal((await refused(['fn main() { return 1; }', 'fn main() {}'])).length, 1);
});

test('the kernels of shaders/ are accepted', async () => {
  const folder = new URL('../../shaders/', import.meta.url);
  const text = (name) => readFileSync(new URL(name, folder), 'utf8');
  // One of them is a part, and stands behind another.
  const whole = (name) => (name === 'derivative.wgsl' ? text('activation.wgsl') : '') + text(name);
  const sources = readdirSync(folder).map(whole);
  const ours = sources.filter((source) => !source.includes('enable wgpu_cooperative_matrix;'));
  assert.ok(ours.length > 20);
  assert.deepEqual(await refused(ours), []);
});

const { UPCONV_VARIANTS } = process.env;
const reason = UPCONV_VARIANTS ? false : 'UPCONV_VARIANTS names no file of them';
test('every variant is accepted', { skip: reason }, async () => {
  const sources = JSON.parse(readFileSync(UPCONV_VARIANTS, 'utf8'));
  assert.ok(sources.length > 500, `${sources.length}`);
  for (let first = 0; first < sources.length; first += 100) {
    assert.deepEqual(await refused(sources.slice(first, first + 100)), []);
  }
});
