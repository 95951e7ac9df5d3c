// A plot draws lines over time in SVG. It is also a slider: the arrow keys and the
// pointer select a point in time, whose values are shown and read out.

import { clock, fill, html, svg } from './dom.js';

const height = 150,
  left = 58,
  right = 10,
  top = 8,
  bottom = 20;
const dashes = [null, '6 3', '2 2']; // lines differ in dashes as well as in colour

// ceiling returns the smallest number from x up that is 1, 2 or 5 times a power of
// ten.
function ceiling(x) {
  const power = 10 ** Math.floor(Math.log10(x));
  return [1, 2, 5, 10].find((m) => m * power >= x * 0.999) * power;
}

class Plot extends HTMLElement {
  #points = [];
  #at; // time of the selected point; undefined for the latest one

  // describe sets up the plot. format turns a value into text. A line has a name and a
  // function get(sample), whose result may be null. binary makes the steps of the axis
  // powers of two.
  describe({ title, format, lines, binary }) {
    Object.assign(this, { format, lines, binary, name: title });
    this.values = lines.map(() => html('b'));
    this.drawing = html('div', {
      class: 'drawing',
      role: 'slider',
      tabindex: 0,
      'aria-label': title,
      'aria-valuemin': 0,
      'aria-valuemax': 0,
      'aria-valuenow': 0,
      onkeydown: (e) => this.#handleKey(e),
      onpointermove: (e) => this.#handlePointer(e),
      onpointerleave: () => this.#select(undefined),
      onblur: () => this.#select(undefined),
    });
    this.when = html('span', { class: 'when' });
    this.replaceChildren(
      html('h3', null, title, this.when),
      html(
        'p',
        { class: 'key' },
        lines.map((l, i) =>
          html(
            'span',
            null,
            svg(
              'svg',
              { width: 18, height: 6, 'aria-hidden': 'true', class: `line l${i}` },
              svg('path', { d: 'M0 3h18', 'stroke-dasharray': dashes[i] }),
            ),
            l.name,
            ' ',
            this.values[i],
          ),
        ),
      ),
      this.drawing,
    );
    new ResizeObserver(() => this.#draw()).observe(this.drawing);
  }

  // draw shows the samples of the last span ms. Samples that are more than gap ms
  // apart are not connected.
  draw(samples, span, gap) {
    const last = samples.at(-1)?.t ?? Date.now();
    this.#points = samples.filter((s) => s.t >= last - span);
    Object.assign(this, { last, span, gap });
    this.#draw();
  }

  #draw() {
    const width = this.drawing.clientWidth;
    if (!width || !this.span) return;
    const peak = Math.max(0, ...this.#points.flatMap((p) => this.lines.map((l) => l.get(p) ?? 0)));
    const unit = this.binary && peak ? 1024 ** Math.floor(Math.log(peak) / Math.log(1024)) : 1;
    const max = peak ? ceiling(peak / unit) * unit : 1;
    const x = (this.x = (t) => left + (width - left - right) * (1 - (this.last - t) / this.span));
    const y = (v) => top + (height - top - bottom) * (1 - v / max);

    const steps = [0, 0.5, 1].map((f) => f * max);
    const minutes = this.span / 60e3,
      step = minutes <= 2 ? 0.5 : minutes <= 5 ? 1 : minutes / 5;
    const times = Array.from({ length: Math.floor(minutes / step) + 1 }, (_, i) => i * step);
    const grid = svg(
      'g',
      { class: 'grid' },
      steps.map((v) => [
        svg('line', { x1: left, x2: width - right, y1: y(v), y2: y(v) }),
        svg('text', { x: left - 8, y: y(v) + 4, 'text-anchor': 'end' }, peak || !v ? this.format(v) : ''),
      ]),
      times.map((m) => {
        const at = x(this.last - m * 60e3);
        return [
          svg('line', { x1: at, x2: at, y1: y(0), y2: y(0) + 4 }),
          svg('text', { x: at, y: height - 3, 'text-anchor': m ? 'middle' : 'end' }, m ? `−${m} min` : 'now'),
        ];
      }),
    );
    const lines = this.lines.map((l, i) => svg('path', { class: `line l${i}`, d: this.#path(l, x, y), 'stroke-dasharray': dashes[i] }));
    this.marks = svg('g', { class: 'marks' });
    this.y = y;
    this.drawing.replaceChildren(
      svg('svg', { viewBox: `0 0 ${width} ${height}`, width, height, 'aria-hidden': 'true' }, grid, lines.reverse(), this.marks),
    );
    this.#mark();
  }

  #path(line, x, y) {
    let d = '',
      before;
    for (const p of this.#points) {
      const v = line.get(p);
      if (v == null) {
        before = undefined;
        continue;
      }
      // A point without neighbours shows as a dot, because line ends are round.
      d += `${before && p.t - before < this.gap ? 'L' : `M${x(p.t).toFixed(1)} ${y(v).toFixed(1)}L`}${x(p.t).toFixed(1)} ${y(v).toFixed(1)}`;
      before = p.t;
    }
    return d;
  }

  #handleKey(e) {
    const at = this.#index();
    const to = {
      ArrowLeft: at - 1,
      ArrowDown: at - 1,
      ArrowRight: at + 1,
      ArrowUp: at + 1,
      PageUp: at + 15,
      PageDown: at - 15,
      Home: 0,
      End: this.#points.length - 1,
    }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    this.#select(Math.max(to, 0));
  }

  #handlePointer(e) {
    if (!this.#points.length) return;
    const at = e.clientX - this.drawing.getBoundingClientRect().left;
    const off = this.#points.map((p) => Math.abs(this.x(p.t) - at));
    this.#select(off.indexOf(Math.min(...off)));
  }

  // select selects a point. The last point, or undefined, follows the latest sample.
  #select(index) {
    this.#at = index < this.#points.length - 1 ? this.#points[index].t : undefined;
    this.#mark();
  }

  #index() {
    const index = this.#at === undefined ? -1 : this.#points.findIndex((p) => p.t >= this.#at);
    return index < 0 ? this.#points.length - 1 : index;
  }

  // mark shows the values of the selected point.
  #mark() {
    const at = this.#index();
    const p = this.#points[at];
    const selected = p && this.#at !== undefined;
    const values = this.lines.map((l) => this.format(p && l.get(p)));
    values.forEach((v, i) => {
      this.values[i].textContent = v;
    });
    this.when.textContent = selected ? clock(p.t) : '';
    this.drawing.setAttribute('aria-valuemax', Math.max(this.#points.length - 1, 0));
    this.drawing.setAttribute('aria-valuenow', Math.max(at, 0));
    this.drawing.setAttribute(
      'aria-valuetext',
      p ? `${clock(p.t)}: ${values.map((v, i) => `${this.lines[i].name} ${v}`).join(', ')}` : 'no samples yet',
    );
    if (!this.marks) return;
    fill(
      this.marks,
      selected && [
        svg('line', { x1: this.x(p.t), x2: this.x(p.t), y1: top, y2: height - bottom }),
        this.lines.map((l, i) => l.get(p) != null && svg('circle', { cx: this.x(p.t), cy: this.y(l.get(p)), r: 3, class: `l${i}` })),
      ],
    );
  }
}
customElements.define('pod-plot', Plot);
