// The page: what is chosen, and the pictures one after the other.

import { Upscaler, devices, filters } from './upconv/index.js';
import { Picture } from './picture.js';
import { zip } from './zip.js';

const $ = (id) => document.getElementById(id);

// Of those that a filter has.
const FILTER_SCALES = [2, 3, 4, 8];

const upscalers = new Map(); // by the value of the option
const own = new Map(); // files of networks, by the value of the option
const pictures = [];

function say(problem) {
  $('problem').textContent = problem ?? '';
  $('problem').hidden = !problem;
}

// The device.

async function tellDevice() {
  try {
    const [{ name, software, why }] = await devices();
    if (why) $('device').textContent = `${why} So it computes on the CPU, on one thread, which is slow.`;
    else if (software) $('device').textContent = `It computes on the CPU, in software (${name}), which is slow.`;
    else $('device').textContent = `It computes on ${name}.`;
    return software;
  } catch (error) {
    $('device').textContent = '';
    say(error.message);
    return false;
  }
}

// Once loaded it works without a network; of a page that is not secure a browser keeps nothing.
navigator.serviceWorker?.register('offline.js').catch(() => {});

// The settings.

function upscaler(value) {
  if (!upscalers.has(value)) {
    const making = Upscaler.create({ model: own.get(value) ?? value });
    making.catch(() => upscalers.delete(value));
    upscalers.set(value, making);
  }
  return upscalers.get(value);
}

let chosen = 0; // the last choice of a model

async function showScales() {
  const value = $('model').value;
  const choice = ++chosen;
  let scales = FILTER_SCALES;
  if (!filters.includes(value)) {
    try {
      scales = (await upscaler(value)).scales;
    } catch (error) {
      if (choice === chosen) say(error.message);
      scales = [2, 4];
    }
  }
  if (choice !== chosen) return;
  const before = scale();
  const kept = scales.includes(before) ? before : scales[0];
  const labels = scales.map((scale) => {
    const label = document.createElement('label');
    const input = Object.assign(document.createElement('input'), { type: 'radio', name: 'scale', value: scale, checked: scale === kept });
    label.append(input, Object.assign(document.createElement('span'), { textContent: `${scale}×` }));
    return label;
  });
  $('scales').replaceChildren($('scales').querySelector('legend'), ...labels);
}

const scale = () => Number($('scales').querySelector(':checked')?.value);

let lastModel;
$('model').addEventListener('change', () => {
  if ($('model').value === 'own') {
    $('model').value = lastModel;
    $('network').click();
    return;
  }
  say();
  lastModel = $('model').value;
  showScales();
});

$('network').addEventListener('change', async () => {
  const [file] = $('network').files;
  $('network').value = '';
  if (!file) return;
  const value = `own:${file.name}:${own.size}`;
  own.set(value, file);
  try {
    await upscaler(value);
  } catch (error) {
    own.delete(value);
    say(`${file.name} is no network for this page: ${error.message}`);
    return;
  }
  const option = Object.assign(document.createElement('option'), { value, textContent: file.name });
  $('model').querySelector('[value=own]').before(option);
  $('model').value = value;
  $('model').dispatchEvent(new Event('change'));
});

// The pictures.

const ready = settled();
let queue = ready;

async function settled() {
  const software = await tellDevice();
  // A network in software takes minutes for a photograph.
  if (software && !lastModel) $('model').value = 'bicubic';
  lastModel = $('model').value;
  await showScales();
}

function add(files) {
  say();
  for (const file of files) {
    const picture = new Picture(file, enlarge);
    pictures.push(picture);
    $('pictures').append(picture.element);
    enlarge(picture);
  }
  summarise();
}

// With the settings that are chosen when it is added.
function enlarge(picture) {
  picture.wait();
  const settings = ready.then(() => ({ value: $('model').value, scale: scale() }));
  const work = async () => {
    const { value, scale } = await settings;
    await picture.run(() => upscaler(value), scale, filters.includes(value) ? value : value.replace(/^own:(.*):\d+$/, '$1'));
    summarise();
  };
  queue = queue.then(work, work);
}

function summarise() {
  const done = pictures.filter((picture) => picture.result);
  $('batch').hidden = pictures.length < 2;
  $('summary').textContent = `${done.length} of ${pictures.length} pictures are done`;
  $('download-all').disabled = done.length === 0;
}

$('download-all').addEventListener('click', async () => {
  const done = pictures.filter((picture) => picture.result);
  try {
    const file = await zip(done.map((picture) => ({ name: picture.resultName, blob: picture.result })));
    const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(file), download: 'enlarged.zip' });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } catch (error) {
    say(error.message);
  }
});

$('clear').addEventListener('click', () => {
  for (const picture of pictures.splice(0)) picture.close();
  say();
  summarise();
});

$('files').addEventListener('change', () => {
  add([...$('files').files]);
  $('files').value = '';
});

$('choose-folder').addEventListener('click', () => $('folder').click());
$('folder').addEventListener('change', () => {
  addFolder([...$('folder').files]);
  $('folder').value = '';
});

// Of a folder the pictures; what else lies there is left alone.
function addFolder(files) {
  const found = files.filter(({ type }) => type.startsWith('image/'));
  if (found.length) add(found);
  else say('There is no picture in this folder.');
}

$('drop').addEventListener('keydown', (event) => {
  if (event.target === $('drop') && ['Enter', ' '].includes(event.key)) {
    event.preventDefault();
    $('files').click();
  }
});

document.addEventListener('paste', (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length) add(files);
});

for (const name of ['dragenter', 'dragover']) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.add('dropping');
  });
}
document.addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) document.body.classList.remove('dropping');
});
document.addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.classList.remove('dropping');
  const items = [...(event.dataTransfer?.items ?? [])];
  // They are there only during the event.
  const folders = items.map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry?.isDirectory);
  const names = new Set(folders.map(({ name }) => name));
  const files = [...(event.dataTransfer?.files ?? [])].filter((file) => file.type || !names.has(file.name));
  if (files.length) add(files);
  else if (!folders.length) say('What was dropped is no file.');
  if (folders.length) inFolders(folders).then(addFolder, (error) => say(`The folder cannot be read: ${error.message}`));
});

/** All files in some folders, at any depth, by their names. */
async function inFolders(folders) {
  const files = [];
  for (const entry of folders) {
    if (entry.isFile) {
      files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
      continue;
    }
    const reader = entry.createReader();
    const inside = [];
    // It gives some at a time, and none at the end.
    for (let some; (some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))).length; ) inside.push(...some);
    inside.sort((one, other) => one.name.localeCompare(other.name));
    files.push(...(await inFolders(inside)));
  }
  return files;
}
