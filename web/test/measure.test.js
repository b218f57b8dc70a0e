// The page that verifies and measures.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { start } from './browser.js';

let browser;
before(async () => (browser = await start()));
after(() => browser?.close());

const rows = (page, table) =>
  page.locator(`#${table} tbody tr`).evaluateAll((rows) => rows.map((row) => [...row.cells].map(({ textContent }) => textContent)));

test('every kernel and the CPU are right', async () => {
  const page = await browser.open(`${browser.address}measure.html`);
  await page.click('#verify');
  await page.locator('#verify-state', { hasText: ' are right' }).waitFor({ timeout: 150_000 });
  const verified = await rows(page, 'verified');
  assert.equal(await page.textContent('#verify-state'), `${verified.length} of ${verified.length} are right.`);
  for (const kernel of ['gather', 'direct', 'tiled', 'winograd', 'cpu']) assert.ok(verified.some(([, by]) => by === kernel), kernel);
  // Of sums of reals some are not exact.
  assert.ok(verified.some(([, , , error]) => Number(error) > 0));
  assert.deepEqual(page.faults, []);
  await page.close();
});

test('layers are measured and drawn, where there is no WebGPU on the CPU alone', async () => {
  for (const [address, gpu] of [[browser.address, true], [browser.insecure, false]]) {
    const page = await browser.open(`${address}measure.html`);
    // Two of them, for a second each.
    const table = JSON.parse(await readFile(new URL('../dist/workloads.json', import.meta.url), 'utf8'));
    await page.route('**/workloads.json', (route) => route.fulfill({ json: table.filter(({ name }) => ['W8', 'W10'].includes(name)) }));
    await page.click('#bench');
    await page.locator('#copy').waitFor({ timeout: 120_000 });
    assert.equal(await page.isHidden('#problem'), true, await page.textContent('#problem'));
    const measured = await rows(page, 'measured');
    assert.deepEqual(measured.map(([name]) => name), ['W8, depthwise', 'W10, stride 1']);
    for (const [, onGpu, , onCpu, verdict] of measured) {
      assert.match(onCpu, /^[\d.]+ m?s$/);
      assert.match(onGpu, gpu ? /^[\d.]+ m?s$/ : /^$/);
      assert.match(verdict, gpu ? /^[\d.]+× / : /^$/);
    }
    assert.equal(await page.locator('#plot rect').count(), gpu ? 4 : 2);
    assert.deepEqual(page.faults, []);
    await page.close();
  }
});
