// Whether what this browser computes is right, and how fast it is.

import { ConvTranspose, convTranspose, devices } from './upconv/index.js';
import { measured, verified, withNumbers } from './layers.js';
import { draw } from './plot.js';
import { compare, scatter } from './reference.js';

const $ = (id) => document.getElementById(id);
const KERNELS = ['gather', 'direct', 'tiled', 'winograd'];
const SECONDS = 1;

const lines = { verify: [], bench: [] }; // the tables as text

function say(error) {
  $('problem').textContent = error?.message ?? '';
  $('problem').hidden = !error;
}

function addRow(table, cells, isWrong = false) {
  table.hidden = false;
  const row = document.createElement('tr');
  cells.forEach((text, index) => {
    const cell = Object.assign(document.createElement('td'), { textContent: text });
    cell.className = table.tHead.rows[0].cells[index].className;
    if (isWrong && index === cells.length - 1) cell.classList.add('wrong');
    row.append(cell);
  });
  table.tBodies[0].append(row);
  return `| ${cells.join(' | ')} |`;
}

function emptied(table, text) {
  table.tBodies[0].replaceChildren();
  const heads = [...table.tHead.rows[0].cells].map(({ textContent }) => textContent);
  lines[text] = [`| ${heads.join(' | ')} |`, `|${heads.map(() => '---|').join('')}`];
}

/** One at a time; what fails is said, and the page goes on. */
function onClick(id, work) {
  $(id).addEventListener('click', async () => {
    say();
    for (const button of ['verify', 'bench']) $(button).disabled = true;
    try {
      await work();
    } catch (error) {
      $(`${id}-state`).textContent = '';
      say(error);
    }
    for (const button of ['verify', 'bench']) $(button).disabled = false;
    $('copy').hidden = false;
  });
}

const [device] = await devices().catch((error) => {
  $('device').textContent = '';
  say(error);
  return [];
});
if (device) $('device').textContent = device.why ?? (device.software ? `It computes in software (${device.name}).` : `It computes on ${device.name}.`);
const hasGpu = device && !device.why;

// The kernels that there are for a layer, with what they make.
async function* results(layer) {
  const { x, w, b, description } = withNumbers(layer);
  for (const kernel of hasGpu ? KERNELS : []) {
    try {
      yield { by: kernel, made: await convTranspose(x, w, b, { ...description, kernel, device: 'gpu' }), x, w, b, description };
    } catch (error) {
      if (!error.message.startsWith(`kernel ${kernel} cannot run this`)) throw error;
    }
  }
  yield { by: 'cpu', made: await convTranspose(x, w, b, { ...description, device: 'cpu' }), x, w, b, description };
}

onClick('verify', async () => {
  emptied($('verified'), 'verify');
  let [all, wrong] = [0, 0];
  for (const layer of verified) {
    $('verify-state').textContent = layer.name;
    let expected;
    for await (const { by, made, x, w, b, description } of results(layer)) {
      expected ??= scatter(x, w, b, description);
      const { error, share } = compare(made, expected, { x, w, groups: description.groups, kernel: by });
      const isRight = share <= 1;
      all += 1;
      wrong += isRight ? 0 : 1;
      const cells = [layer.name, by, expected.data.length.toLocaleString('en'), error.toExponential(2), `${(share * 100).toFixed(1)} %`, isRight ? 'ok' : 'WRONG'];
      lines.verify.push(addRow($('verified'), cells, !isRight));
    }
  }
  $('verify-state').textContent = `${all - wrong} of ${all} are right${wrong ? `, ${wrong} are WRONG` : ''}.`;
});

onClick('bench', async () => {
  emptied($('measured'), 'bench');
  const table = await (await fetch('workloads.json')).json();
  const rows = [];
  for (const layer of measured(table)) {
    $('bench-state').textContent = `${layer.name}, ${layer.title}`;
    const { x, w, b, description } = withNumbers(layer);
    const made = {};
    for (const device of hasGpu ? ['gpu', 'cpu'] : ['cpu']) {
      const on = await ConvTranspose.create(w, b, { ...description, device });
      made[device] = await on.measure(x, { seconds: SECONDS });
      on.close();
    }
    const { gpu, cpu } = made;
    const isRight = !gpu || isNear(gpu.data, cpu.data);
    const times = (ratio) => (ratio >= 1 ? `${ratio.toFixed(1)}× as fast` : `${(1 / ratio).toFixed(1)}× slower`);
    const verdict = gpu ? (isRight ? times(cpu.median / gpu.median) : 'WRONG') : '';
    const cells = [`${layer.name}, ${layer.title}`, gpu ? told(gpu.median) : '', gpu ? told(gpu.first) : '', told(cpu.median), verdict];
    lines.bench.push(addRow($('measured'), cells, !isRight));
    if (isRight) rows.push({ name: `${layer.name}, ${layer.title}`, gpu: gpu?.median, cpu: cpu.median });
    $('plot').hidden = false;
    $('plot').replaceChildren(draw(rows));
  }
  $('bench-state').textContent = '';
});

// Both in f32, in another order.
function isNear(one, other) {
  let [most, off] = [0, 0];
  for (let at = 0; at < one.length; at++) {
    most = Math.max(most, Math.abs(other[at]));
    const difference = Math.abs(one[at] - other[at]);
    if (!(difference <= off)) off = Number.isNaN(difference) ? Infinity : difference;
  }
  return one.length === other.length && off <= 1e-4 * most;
}

function told(milliseconds) {
  return milliseconds < 10 ? `${milliseconds.toFixed(2)} ms` : milliseconds < 1000 ? `${milliseconds.toFixed(1)} ms` : `${(milliseconds / 1000).toFixed(2)} s`;
}

$('copy').addEventListener('click', async () => {
  const head = `${device?.name ?? 'no device'}, ${navigator.userAgent}, ${new Date().toISOString().slice(0, 10)}`;
  await navigator.clipboard.writeText([head, '', ...lines.verify, '', ...lines.bench, ''].join('\n'));
  $('copy').textContent = 'Copied';
});
