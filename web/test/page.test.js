// The page, driven as a person would.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { start } from './browser.js';
import { upscale } from './native.js';
import { astronaut, crop, decode, difference, png, translucent } from './pictures.js';

let browser;
before(async () => (browser = await start()));
after(() => browser?.close());

const photograph = png(crop(decode(astronaut), 150, 40, 256, 256));

const choose = (page, ...files) => page.setInputFiles('#files', files);
const file = (name, buffer, mimeType = 'image/png') => ({ name, buffer, mimeType });

// Files as they are dropped on the page.
async function drop(page, ...files) {
  const sent = files.map(({ name, buffer, mimeType }) => ({ name, mimeType, base64: buffer.toString('base64') }));
  await page.evaluate(async (sent) => {
    const transfer = new DataTransfer();
    for (const { name, mimeType, base64 } of sent) {
      const bytes = await (await fetch(`data:${mimeType};base64,${base64}`)).arrayBuffer();
      transfer.items.add(new File([bytes], name, { type: mimeType }));
    }
    document.getElementById('drop').dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }, sent);
}

const card = (page, name) => page.locator('.picture', { has: page.getByText(name, { exact: true }) });

/** Waits until a picture is done, or has failed, and returns what stands there. */
async function ended(page, name) {
  const element = card(page, name);
  await element.and(page.locator('.done, .failed')).waitFor({ timeout: 60_000 });
  return element.locator('.state').textContent();
}

async function downloaded(page, button) {
  const [download] = await Promise.all([page.waitForEvent('download'), button.click()]);
  return { name: download.suggestedFilename(), bytes: await readFile(await download.path()) };
}

async function result(page, name) {
  const state = await ended(page, name);
  assert.match(state, / → /, state);
  return downloaded(page, card(page, name).locator('.download'));
}

async function closed(page) {
  assert.deepEqual(page.faults, []);
  await page.close();
}

test('the page says that software computes', async () => {
  const page = await browser.open();
  assert.match(await page.textContent('#device'), /on the CPU, in software \(.*swiftshader.*\)/i);
  await closed(page);
});

for (const [model, label, native] of [
  ['bicubic', 'bicubic', ['--scale', '2', '--method', 'bicubic']],
  ['waifu2x-photo', 'waifu2x-photo', ['--model', 'waifu2x-photo']],
]) {
  test(`a photograph by ${model} is what the program makes of it`, async () => {
    const page = await browser.open();
    await page.selectOption('#model', model);
    await choose(page, file('photo.png', photograph));
    const { name, bytes } = await result(page, 'photo.png');
    assert.equal(name, 'photo_2x.png');
    assert.ok((await ended(page, 'photo.png')).startsWith(`256 × 256 → 512 × 512, ${label}, `));
    const [made, expected] = [decode(bytes), decode(upscale(photograph, ...native))];
    assert.ok(difference(made, expected) <= 1, `${difference(made, expected)} levels`);
    // Otherwise nothing was compared.
    assert.ok(difference(made, decode(upscale(photograph, '--scale', '2', '--method', 'nearest'))) > 20);
    await closed(page);
  });
}

test('a picture in several bands is what the program makes of it', async () => {
  const page = await browser.open();
  await page.selectOption('#model', 'bicubic');
  await page.getByText('4×').click();
  await choose(page, file('astronaut.png', astronaut));
  const [made, expected] = [decode((await result(page, 'astronaut.png')).bytes), decode(upscale(astronaut, '--scale', '4', '--method', 'bicubic'))];
  assert.ok(difference(made, expected) <= 1, `${difference(made, expected)} levels`);
  await closed(page);
});

for (const [model, native] of [
  ['nearest', ['--scale', '2', '--method', 'nearest']],
  ['lanczos3', ['--scale', '2', '--method', 'lanczos3']],
  ['waifu2x-art', ['--model', 'waifu2x-art']],
]) {
  test(`alpha by ${model} is what the program makes of it`, async () => {
    const picture = png(translucent(61, 47));
    const page = await browser.open();
    await page.selectOption('#model', model);
    await choose(page, file('glass.png', picture));
    const [made, expected] = [decode((await result(page, 'glass.png')).bytes), decode(upscale(picture, ...native))];
    assert.ok(difference(made, expected) <= 1, `${difference(made, expected)} levels`);
    assert.ok(made.data.some((value, index) => index % 4 === 3 && value > 0 && value < 255));
    await closed(page);
  });
}

test('twice by a network is what the program makes of it', async () => {
  const picture = png(crop(decode(astronaut), 200, 60, 50, 40));
  const page = await browser.open();
  await page.selectOption('#model', 'waifu2x-photo');
  await page.getByText('4×').click();
  await choose(page, file('small.png', picture));
  const [made, expected] = [decode((await result(page, 'small.png')).bytes), decode(upscale(picture, '--model', 'waifu2x-photo', '--scale', '4'))];
  assert.ok(difference(made, expected) <= 1, `${difference(made, expected)} levels`);
  await closed(page);
});

test('pictures that are dropped are done one after the other, and saved alone and together', async () => {
  const page = await browser.open();
  const [one, two] = [crop(decode(astronaut), 0, 0, 40, 30), crop(decode(astronaut), 100, 100, 30, 50)];
  await drop(page, file('one.png', png(one)), file('two.png', png(two)));
  const results = [await result(page, 'one.png'), await result(page, 'two.png')];
  assert.deepEqual(results.map(({ name }) => name), ['one_2x.png', 'two_2x.png']);
  assert.deepEqual(results.map(({ bytes }) => decode(bytes).width), [80, 60]);
  assert.equal(await page.textContent('#summary'), '2 of 2 pictures are done');

  const { name, bytes } = await downloaded(page, page.locator('#download-all'));
  assert.equal(name, 'enlarged.zip');
  // As a reader of ZIP finds them: the end, the directory, each file.
  const end = bytes.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  assert.equal(bytes.readUInt16LE(end + 10), 2);
  let at = bytes.readUInt32LE(end + 16);
  for (const { name, bytes: expected } of results) {
    const [size, length, local] = [bytes.readUInt32LE(at + 24), bytes.readUInt16LE(at + 28), bytes.readUInt32LE(at + 42)];
    assert.equal(bytes.toString('utf8', at + 46, at + 46 + length), name);
    const first = local + 30 + bytes.readUInt16LE(local + 26);
    assert.deepEqual(bytes.subarray(first, first + size), expected);
    at += 46 + length;
  }

  await page.click('#clear');
  assert.equal(await page.locator('.picture').count(), 0);
  await closed(page);
});

test('a picture that is pasted is enlarged', async () => {
  const page = await browser.open();
  await page.evaluate(async (base64) => {
    const transfer = new DataTransfer();
    const bytes = await (await fetch(`data:image/png;base64,${base64}`)).arrayBuffer();
    transfer.items.add(new File([bytes], 'image.png', { type: 'image/png' }));
    document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer }));
  }, png(crop(decode(astronaut), 0, 0, 20, 20)).toString('base64'));
  assert.match(await ended(page, 'image.png'), /^20 × 20 → 40 × 40/);
  await closed(page);
});

test('what is no picture gives one sentence, and the page goes on', async () => {
  const page = await browser.open();
  const huge = png(translucent(4, 4));
  huge.writeUInt32BE(40_000, 16);
  huge.writeUInt32BE(40_000, 20);
  const cases = {
    'notes.txt': [Buffer.from('Dear diary, today I enlarged nothing at all.'), 'notes.txt is not a picture that this browser can read.'],
    'empty.png': [Buffer.alloc(0), 'empty.png is empty.'],
    'cut.png': [photograph.subarray(0, 20_000), 'cut.png is a PNG file that is damaged or cut off, or that this browser cannot read.'],
    'huge.png': [huge, 'huge.png is 40,000 × 40,000 pixels, 1,600 megapixels; at most 268 are taken.'],
  };
  await drop(page, ...Object.entries(cases).map(([name, [bytes]]) => file(name, bytes)), file('good.png', png(crop(decode(astronaut), 0, 0, 20, 20))));
  for (const [name, [, sentence]] of Object.entries(cases)) assert.equal(await ended(page, name), sentence);
  assert.match(await ended(page, 'good.png'), /^20 × 20 → 40 × 40/);
  await closed(page);
});

test('a file that is no network gives one sentence, and the page goes on', async () => {
  const page = await browser.open();
  await page.setInputFiles('#network', file('net.safetensors', Buffer.from('nothing of a network'), 'application/octet-stream'));
  await page.locator('#problem').waitFor();
  assert.match(await page.textContent('#problem'), /^net\.safetensors is no network for this page: safetensors: /);
  await choose(page, file('good.png', png(crop(decode(astronaut), 0, 0, 20, 20))));
  assert.match(await ended(page, 'good.png'), /→ 40 × 40/);
  await closed(page);
});

test('a network of one’s own is used', async () => {
  const page = await browser.open();
  const bytes = await readFile(new URL('../../assets/waifu2x-art.safetensors', import.meta.url));
  await page.setInputFiles('#network', file('mine.safetensors', bytes, 'application/octet-stream'));
  await page.waitForFunction(() => document.getElementById('model').selectedOptions[0].textContent === 'mine.safetensors');
  const picture = png(crop(decode(astronaut), 0, 0, 30, 20));
  await choose(page, file('a.png', picture));
  const made = decode((await result(page, 'a.png')).bytes);
  assert.match(await ended(page, 'a.png'), /, mine\.safetensors, /);
  assert.ok(difference(made, decode(upscale(picture, '--model', 'waifu2x-art'))) <= 1);
  await closed(page);
});

test('a picture is cancelled while it is computed, and can be begun again', async () => {
  const page = await browser.open();
  await page.selectOption('#model', 'waifu2x-photo');
  // Several tiles, which take some seconds.
  await choose(page, file('big.png', astronaut), file('next.png', png(crop(decode(astronaut), 0, 0, 20, 20))));
  const big = card(page, 'big.png');
  await big.locator('.state', { hasText: '%' }).waitFor({ timeout: 60_000 });
  await big.locator('.cancel').click();
  assert.equal(await ended(page, 'big.png'), 'Cancelled');
  assert.match(await ended(page, 'next.png'), /^20 × 20 → 40 × 40/);
  await page.selectOption('#model', 'nearest');
  await big.locator('.again').click();
  const { width, height } = decode(astronaut);
  await big.and(page.locator('.done')).waitFor({ timeout: 60_000 });
  assert.ok((await ended(page, 'big.png')).startsWith(`${width} × ${height} → ${2 * width} × ${2 * height}, nearest`));
  await closed(page);
});

test('a device that is lost gives one sentence, and the next picture has a new one', async () => {
  const page = await browser.context.newPage();
  page.faults = [];
  // The device is the worker's, and nobody else's: so it is caught where it is made.
  const workers = new Promise((resolve) => page.on('worker', resolve));
  await page.goto(browser.address);
  const worker = await workers;
  await page.waitForFunction(() => !document.getElementById('device').textContent.startsWith('Looking'));
  await worker.evaluate(() => {
    const submit = GPUQueue.prototype.submit;
    const create = GPUDevice.prototype.createBuffer;
    GPUDevice.prototype.createBuffer = function (...args) {
      self.seen = this;
      return create.apply(this, args);
    };
    GPUQueue.prototype.submit = function (...args) {
      submit.apply(this, args);
      if (self.seen && !self.destroyed) {
        self.destroyed = true;
        self.seen.destroy();
      }
    };
  });
  const picture = png(crop(decode(astronaut), 0, 0, 30, 20));
  await choose(page, file('unlucky.png', picture));
  assert.match(await ended(page, 'unlucky.png'), /^the device was lost/);
  await choose(page, file('lucky.png', picture));
  assert.match(await ended(page, 'lucky.png'), /^30 × 20 → 60 × 40/);
  await page.close();
});

test('where there is no WebGPU the page says so, and the CPU computes the same', async () => {
  const page = await browser.open(browser.insecure);
  const sentence = 'There is no WebGPU on a page that is not served over https or from localhost. So it computes on the CPU, on one thread, which is slow.';
  assert.equal(await page.textContent('#device'), sentence);
  const picture = png(translucent(61, 47));
  for (const [model, native] of [['bicubic', ['--scale', '2', '--method', 'bicubic']], ['waifu2x-photo', ['--model', 'waifu2x-photo']]]) {
    await page.selectOption('#model', model);
    await choose(page, file(`${model}.png`, picture));
    const [made, expected] = [decode((await result(page, `${model}.png`)).bytes), decode(upscale(picture, ...native))];
    assert.ok(difference(made, expected) <= 1, `${model}: ${difference(made, expected)} levels`);
  }
  await closed(page);
});

test('the CPU can be cancelled, too', async () => {
  const page = await browser.open(browser.insecure);
  await page.selectOption('#model', 'waifu2x-photo');
  await choose(page, file('big.png', astronaut));
  const big = card(page, 'big.png');
  await big.locator('.state', { hasText: '%' }).waitFor({ timeout: 60_000 });
  await big.locator('.cancel').click();
  assert.equal(await ended(page, 'big.png'), 'Cancelled');
  await closed(page);
});

test('the pictures of a folder are enlarged, and what else lies there is left alone', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'upconv-folder-'));
  mkdirSync(join(folder, 'deep'));
  writeFileSync(join(folder, 'one.png'), png(crop(decode(astronaut), 0, 0, 20, 20)));
  writeFileSync(join(folder, 'deep', 'two.png'), png(crop(decode(astronaut), 0, 0, 30, 20)));
  writeFileSync(join(folder, 'notes.txt'), 'nothing to enlarge');
  const page = await browser.open();
  await page.setInputFiles('#folder', folder);
  assert.match(await ended(page, 'one.png'), /^20 × 20 → 40 × 40/);
  assert.match(await ended(page, 'two.png'), /^30 × 20 → 60 × 40/);
  assert.equal(await page.locator('.picture').count(), 2);
  await closed(page);
  rmSync(folder, { recursive: true });
});

test('once loaded the page works without a network', async () => {
  const page = await browser.open();
  await page.evaluate(() => navigator.serviceWorker.ready);
  await browser.context.setOffline(true);
  try {
    await page.reload();
    await page.waitForFunction(() => !document.getElementById('device').textContent.startsWith('Looking'));
    for (const model of ['bicubic', 'waifu2x-art']) {
      await page.selectOption('#model', model);
      await choose(page, file(`${model}.png`, png(crop(decode(astronaut), 0, 0, 20, 20))));
      assert.match(await ended(page, `${model}.png`), /^20 × 20 → 40 × 40/);
    }
    // Nothing was left to the server.
    assert.equal(await page.evaluate(() => fetch('never-asked.txt').then(() => 'reached', () => 'unreachable')), 'unreachable');
  } finally {
    await browser.context.setOffline(false);
  }
  await closed(page);
});

test('the comparison follows the pointer and the slider', async () => {
  const page = await browser.open();
  await choose(page, file('photo.png', photograph));
  await ended(page, 'photo.png');
  const at = () => page.locator('.compare').evaluate((figure) => parseFloat(figure.style.getPropertyValue('--at')));
  const box = await page.locator('.after').boundingBox();
  await page.mouse.move(box.x + box.width / 4, box.y + box.height / 2);
  assert.ok(Math.abs((await at()) - 25) < 1, `${await at()}`);
  await page.locator('input[type=range]').fill('80');
  assert.equal(await at(), 80);
  await closed(page);
});
