// Keeps what was loaded, so that the page works without a network: the server is asked first, and what it gave last serves where it
// cannot be reached. What may be needed later is loaded at once: the networks, and the module for the CPU.

const NAME = 'upconv';
const NEEDED = [
  './', 'page.css', 'page.js', 'picture.js', 'zip.js', 'icon.svg',
  'measure.html', 'measure.css', 'measure.js', 'layers.js', 'plot.js', 'reference.js', 'workloads.json',
  ...['index.js', 'worker.js', 'engine.js', 'failure.js', 'header.js', 'pixels.js', 'png.js'].map((name) => `upconv/${name}`),
  ...['gpu', 'cpu'].flatMap((kind) => [`upconv/wasm/${kind}/upconv.js`, `upconv/wasm/${kind}/upconv_bg.wasm`]),
  ...['photo', 'art'].map((name) => `upconv/models/waifu2x-${name}.safetensors`),
];

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(NEEDED)).then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== location.origin) return;
  event.respondWith(
    (async () => {
      const cache = await caches.open(NAME);
      try {
        const answer = await fetch(request);
        if (answer.ok) await cache.put(request, answer.clone());
        return answer;
      } catch (error) {
        const kept = await cache.match(request, { ignoreSearch: true });
        if (kept) return kept;
        throw error;
      }
    })(),
  );
});
