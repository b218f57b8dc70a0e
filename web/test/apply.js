// Runs the cases of a list in the browser, for checks that take the package as a black box:
// `node test/apply.js LIST [--kernel NAME] [--device gpu|cpu]`. LIST has lines `FOLDER<TAB>OUT`; for each, OUT is an .npy of the
// output, or OUT.err is the sentence of the error.

import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { start } from './browser.js';
import { compute, readCase } from './cases.js';
import { writeNpy } from './npy.js';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { kernel: { type: 'string' }, device: { type: 'string', default: 'gpu' } },
});
const lines = readFileSync(positionals[0], 'utf8').split('\n').filter(Boolean);
const browser = await start();
try {
  const page = await browser.open();
  for (const line of lines) {
    const [folder, out] = line.split('\t');
    let result;
    try {
      [result] = await compute(page, [readCase(folder)], values);
    } catch (error) {
      result = { error: error.message };
    }
    if (result.error !== undefined) writeFileSync(`${out}.err`, result.error);
    else writeFileSync(out, writeNpy(result));
  }
} finally {
  await browser.close();
}
