// Bars of times, on a scale of powers of ten.

const NAMESPACE = 'http://www.w3.org/2000/svg';
const [WIDTH, NAMES, ROW, BAR, TOP, RIGHT] = [640, 170, 34, 12, 26, 70];

function element(name, attributes, text) {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Of rows `{ name, gpu, cpu }`, in milliseconds; there may be no GPU. */
export function draw(rows) {
  const times = rows.flatMap(({ gpu, cpu }) => [gpu, cpu]).filter(Boolean);
  const least = Math.floor(Math.log10(Math.min(...times)));
  const most = Math.max(least + 1, Math.ceil(Math.log10(Math.max(...times))));
  const place = (time) => ((Math.log10(time) - least) / (most - least)) * (WIDTH - NAMES - RIGHT);
  const height = TOP + rows.length * ROW;
  const summary = 'times of each layer on the GPU and on the CPU; the table has the numbers';
  const svg = element('svg', { viewBox: `0 0 ${WIDTH} ${height}`, role: 'img', 'aria-label': summary });
  for (let power = least; power <= most; power++) {
    const x = NAMES + place(10 ** power);
    svg.append(element('line', { x1: x, x2: x, y1: TOP - 6, y2: height }));
    const text = power >= 3 ? `${10 ** (power - 3)} s` : `${10 ** power} ms`;
    svg.append(element('text', { x, y: 12, 'text-anchor': 'middle', class: 'axis' }, text));
  }
  rows.forEach(({ name, gpu, cpu }, index) => {
    const top = TOP + index * ROW;
    svg.append(element('text', { x: 0, y: top + ROW / 2 + 1 }, name));
    [['gpu', gpu], ['cpu', cpu]].forEach(([kind, time], line) => {
      if (!time) return;
      const y = top + 2 + line * (BAR + 1);
      const width = Math.max(1, place(time));
      svg.append(element('rect', { x: NAMES, y, width, height: BAR, rx: 2, class: kind }));
      svg.append(element('text', { x: NAMES + width + 5, y: y + BAR - 2, class: 'axis' }, kind.toUpperCase()));
    });
  });
  return svg;
}
