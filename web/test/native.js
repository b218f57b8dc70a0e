// What the program `upconv` makes, to compare with.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const program = process.env.UPCONV ?? fileURLToPath(new URL('../../target/release/upconv', import.meta.url));
if (!existsSync(program)) {
  throw new Error(`no program ${program}: cargo build --release builds it, or the environment's UPCONV names it`);
}

/** The bytes of the enlarged picture, computed on the CPU. */
export function upscale(bytes, ...options) {
  const folder = mkdtempSync(join(tmpdir(), 'upconv-native-'));
  try {
    const [input, output] = ['in.png', 'out.png'].map((name) => join(folder, name));
    writeFileSync(input, bytes);
    execFileSync(program, ['upscale', input, output, '--device', 'cpu', ...options], { stdio: ['ignore', 'ignore', 'inherit'] });
    return readFileSync(output);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
