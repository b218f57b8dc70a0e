// `node measure.js MODELS [RUNS]`: the package against onnxruntime-web, in one page of a Chromium, on the layers and the network
// that models.py has written to MODELS. Each engine has its weights already; a run takes an array and gives one. Medians.
// CHROME names the browser; SwiftShader is its device where there is no GPU.

import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const models = resolve(process.argv[2]);
const runs = Number(process.argv[3] ?? 5);
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folders = { upconv: here('../../../web/dist/upconv'), ort: here('node_modules/onnxruntime-web/dist'), models };
const TYPES = { '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };

const server = createServer(async ({ url }, response) => {
  const [, folder, ...rest] = new URL(url, 'http://x').pathname.split('/');
  const path = folders[folder] && join(folders[folder], rest.join('/'));
  const found = path && (await stat(path).catch(() => undefined));
  if (!found?.isFile()) return response.writeHead(folder ? 404 : 200, { 'content-type': 'text/html' }).end('<!doctype html>');
  response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' });
  createReadStream(path).pipe(response);
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));

const browser = await chromium.launch({
  executablePath: process.env.CHROME ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--enable-unsafe-webgpu'],
});
const page = await browser.newPage();
page.setDefaultTimeout(0);
await page.goto(`http://127.0.0.1:${server.address().port}/`);

// In the page: the median of some runs behind one that compiles, and what the last gave.
await page.addScriptTag({
  type: 'module',
  content: `
    import { ConvTranspose, Upscaler } from '/upconv/index.js';
    import * as ort from '/ort/ort.all.min.mjs';
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = new URL('/ort/', location).href;
    const floats = async (name) => new Float32Array(await (await fetch('/models/' + name)).arrayBuffer());
    async function timed(runs, run) {
      const begun = performance.now();
      let made = await run();
      const first = performance.now() - begun;
      const times = [];
      for (let index = 0; index < runs; index++) {
        const begun = performance.now();
        made = await run();
        times.push(performance.now() - begun);
      }
      return { first, median: times.sort((a, b) => a - b)[times.length >> 1], made };
    }
    const session = (name, provider) => ort.InferenceSession.create('/models/' + name + '.onnx', { executionProviders: [provider] });
    window.layer = async ({ name, x, w, options }, runs, engine) => {
      const input = { data: await floats(name + '.x'), shape: x };
      if (engine.startsWith('upconv')) {
        const device = engine.split('-')[1];
        const layer = await ConvTranspose.create({ data: await floats(name + '.w'), shape: w }, await floats(name + '.b'), { ...options, device, worker: false });
        const { made, ...times } = await timed(runs, () => layer.run(input));
        layer.close();
        return { ...times, sample: [...made.data.filter((_, at) => at % 997 === 0)] };
      }
      const made = await session(name, engine.split('-')[1]);
      const fed = { x: new ort.Tensor('float32', input.data, x) };
      const { made: out, ...times } = await timed(runs, async () => (await made.run(fed)).y.data);
      await made.release();
      return { ...times, sample: [...out.filter((_, at) => at % 997 === 0)] };
    };
    window.network = async (shape, runs, engine) => {
      if (engine.startsWith('upconv')) {
        const upscaler = await Upscaler.create({ model: 'waifu2x-photo', device: engine.split('-')[1], worker: false });
        const pixels = Uint8ClampedArray.from({ length: 256 * 256 * 4 }, (_, at) => (at % 4 === 3 ? 255 : (at * 31) % 251));
        const picture = new ImageData(pixels, 256, 256);
        const { made, ...times } = await timed(runs, () => upscaler.upscale(picture));
        return times;
      }
      const made = await session('network', engine.split('-')[1]);
      const data = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, at) => (at % 251) / 250);
      const fed = { x: new ort.Tensor('float32', data, shape) };
      const { made: out, ...times } = await timed(runs, async () => Object.values(await made.run(fed))[0].data);
      await made.release();
      return times;
    };
    window.ready = true;
  `,
});
await page.waitForFunction(() => window.ready);

const { layers, network } = JSON.parse(await readFile(join(models, 'table.json'), 'utf8'));
const ENGINES = ['upconv-gpu', 'ort-webgpu', 'upconv-cpu', 'ort-wasm'];
const told = ({ median, first }) => `${median.toFixed(1)} ms (first ${first.toFixed(0)})`;
for (const layer of layers) {
  const made = {};
  for (const engine of ENGINES) {
    made[engine] = await page.evaluate(([layer, runs, engine]) => window.layer(layer, runs, engine), [layer, runs, engine]);
    const [sample, first] = [made[engine].sample, made[ENGINES[0]].sample];
    const worst = Math.max(...sample.map((value, at) => Math.abs(value - first[at])));
    if (!(worst < 1e-3)) throw new Error(`${layer.name}: ${engine} is ${worst} away from ${ENGINES[0]}`);
    console.log(`${layer.name} ${engine}: ${told(made[engine])}`);
  }
  ratio(layer.name, made);
}
const made = {};
for (const engine of ENGINES) {
  const few = engine === 'ort-webgpu' ? 1 : Math.min(runs, 3);
  made[engine] = await page.evaluate(([shape, runs, engine]) => window.network(shape, runs, engine), [network, few, engine]);
  console.log(`network ${engine}: ${told(made[engine])}`);
}
ratio('network', made);

function ratio(name, made) {
  const of = (peer, ours) => (made[peer].median / made[ours].median).toFixed(2);
  console.log(`${name}: WebGPU ${of('ort-webgpu', 'upconv-gpu')}x, CPU ${of('ort-wasm', 'upconv-cpu')}x as fast as onnxruntime-web`);
}

await browser.close();
server.close();
