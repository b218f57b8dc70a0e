// A Chromium with WebGPU in software, and the page in it.

import { chromium } from 'playwright-core';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { serve } from '../serve.js';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];

function executable() {
  const isProgram = (path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  };
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/Applications/Google Chrome.app/Contents/MacOS'];
  const names = folders.flatMap((folder) => [...NAMES, 'Google Chrome'].map((name) => join(folder, name)));
  const found = process.env.CHROME ?? names.find(isProgram);
  if (!found || !isProgram(found)) {
    throw new Error(`no Chromium: ${process.env.CHROME ? `CHROME is ${found}, which is no program` : `none of ${NAMES.join(', ')} is on the PATH, and CHROME is not set`}`);
  }
  return found;
}

/** A browser with its server; `close` ends both. */
export async function start() {
  const server = await serve();
  const { port } = server.address();
  const profile = mkdtempSync(join(tmpdir(), 'upconv-web-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: executable(),
    headless: true,
    acceptDownloads: true,
    viewport: { width: 1100, height: 900 },
    args: [
      '--no-sandbox',
      '--enable-unsafe-webgpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      // An address that is not secure: pages from there have no WebGPU.
      '--host-resolver-rules=MAP insecure.test 127.0.0.1',
    ],
  });
  return {
    address: `http://127.0.0.1:${port}/`,
    insecure: `http://insecure.test:${port}/`,
    context,
    async open(address = this.address) {
      const page = await context.newPage();
      page.faults = [];
      page.on('pageerror', (error) => page.faults.push(error.message));
      await page.goto(address);
      await page.waitForFunction(() => !document.getElementById('device').textContent.startsWith('Looking'));
      return page;
    },
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
      server.close();
    },
  };
}
