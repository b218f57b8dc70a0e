// One picture on the page: its progress, its result, and the comparison of both.

export class Picture {
  result; // the file, once it is there
  #file;
  #abort;
  #addresses = [];
  #closed = false;

  constructor(file, again) {
    this.#file = file;
    this.element = document.getElementById('picture').content.firstElementChild.cloneNode(true);
    this.#part('.name').textContent = file.name;
    this.#part('.name').title = file.name;
    this.#part('.cancel').addEventListener('click', () => this.#abort?.abort());
    this.#part('.again').addEventListener('click', () => again(this));
    this.#listenToDivider();
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }

  #show(state, text) {
    for (const name of ['waiting', 'running', 'failed', 'done']) this.element.classList.toggle(name, name === state);
    this.#part('.state').textContent = text;
    this.#part('.cancel').hidden = state !== 'running' && state !== 'waiting';
    this.#part('.again').hidden = state !== 'failed' && state !== 'done';
    this.#part('.download').hidden = state !== 'done';
    this.#part('.compare').hidden = state !== 'done';
  }

  /** Until it is its turn; it can be cancelled already. */
  wait() {
    this.#free();
    this.#abort = new AbortController();
    this.#part('progress').value = 0;
    this.#show('waiting', 'Waits');
  }

  /** Enlarges it. */
  async run(upscaler, scale, method) {
    if (this.#closed) return;
    const { signal } = this.#abort;
    const started = performance.now();
    const onProgress = (share) => {
      this.#part('progress').value = share;
      this.#part('.state').textContent = `${Math.floor(share * 100)} %${left(share, performance.now() - started)}`;
    };
    try {
      signal.throwIfAborted();
      this.#show('running', 'Begins');
      const png = await (await upscaler()).upscale(this.#file, { scale, as: 'png', onProgress, signal });
      await this.#finish(png, scale, method, performance.now() - started);
    } catch (error) {
      if (!this.#closed) this.#show('failed', signal.aborted ? 'Cancelled' : error.message);
    }
  }

  async #finish(png, scale, method, milliseconds) {
    this.result = png;
    this.resultName = `${this.#file.name.replace(/\.[^.]*$/, '')}_${scale}x.png`;
    const [before, after] = [this.#file, png].map((blob) => {
      const address = URL.createObjectURL(blob);
      this.#addresses.push(address);
      return address;
    });
    Object.assign(this.#part('.download'), { href: after, download: this.resultName });
    const image = this.#part('.after');
    image.src = after;
    this.#part('.before').src = before;
    const isShown = await image.decode().then(() => true, () => false);
    const header = new DataView(await png.slice(16, 24).arrayBuffer());
    const [width, height] = [header.getUint32(0), header.getUint32(4)];
    this.#part('.compare').style.setProperty('--width', `${width / devicePixelRatio}px`);
    this.#part('.compare').style.setProperty('--height', `${height / devicePixelRatio}px`);
    const size = `${width / scale} × ${height / scale} → ${width} × ${height}`;
    const rest = isShown ? '' : '; too large to be shown here, but it can be saved';
    this.#show('done', `${size}, ${method}, ${seconds(milliseconds)}${rest}`);
    this.#part('.compare').hidden = !isShown;
  }

  #listenToDivider() {
    const [figure, frame, range] = ['.compare', '.frame', 'input[type=range]'].map((part) => this.#part(part));
    const move = (percent) => {
      figure.style.setProperty('--at', `${percent}%`);
      figure.style.setProperty('--share', percent / 100);
      range.value = percent;
    };
    move(50);
    range.addEventListener('input', () => move(Number(range.value)));
    frame.addEventListener('pointermove', (event) => {
      const { left, width } = this.#part('.after').getBoundingClientRect();
      move(Math.max(0, Math.min(100, ((event.clientX - left) / width) * 100)));
    });
    this.#part('.zoom').addEventListener('click', ({ currentTarget: button }) => {
      const full = figure.classList.toggle('full');
      button.setAttribute('aria-pressed', full);
      button.textContent = full ? 'Fit' : 'Full size';
    });
  }

  #free() {
    this.#addresses.splice(0).forEach((address) => URL.revokeObjectURL(address));
    this.result = undefined;
  }

  close() {
    this.#closed = true;
    this.#abort?.abort();
    this.#free();
    this.element.remove();
  }
}

function left(share, milliseconds) {
  // Before, it is a guess from too little: kernels are compiled with the first tile.
  if (share <= 0 || share >= 1 || milliseconds < 1000) return '';
  return `, about ${seconds((milliseconds * (1 - share)) / share)} left`;
}

function seconds(milliseconds) {
  const all = milliseconds / 1000;
  if (all < 10) return `${Math.max(all, 0.1).toFixed(1)} s`;
  if (all < 100) return `${Math.round(all)} s`;
  return `${Math.round(all / 60)} min`;
}
