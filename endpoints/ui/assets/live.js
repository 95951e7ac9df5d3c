// What the server measures of itself, pushed by it, over the last minutes.

import { both, bytes, estimate, field, fill, html, number, pod, seconds, spoken, table } from './dom.js';
import './plot.js';

const spans = [2, 5, 15]; // minutes
const none = { rps: 0, errors: 0, p50: null, p95: null, p99: null };

class Live extends HTMLElement {
  #samples = [];
  #route = ''; // '' is all
  #rows = new Map(); // by label, in order of appearance
  #interval = 2000;
  #from; // the instance that measures

  show() {
    if (this.plots) return;
    // of is the chosen route's part of a sample.
    const of = (name) => (s) => (this.#route ? (s.routes.find((r) => r.label === this.#route) ?? none) : s)[name];
    const percentile = (name) => ({ name, get: (s) => of(name)(s)?.s, bound: (s) => of(name)(s)?.bound });
    const plots = [
      {
        title: 'Requests a second',
        write: number,
        lines: [
          { name: 'all', get: of('rps') },
          { name: 'errors', get: of('errors') },
        ],
      },
      {
        title: 'Latency',
        write: estimate,
        say: spoken,
        lines: [percentile('p50'), percentile('p95'), percentile('p99')],
      },
      { title: 'Goroutines', write: number, lines: [{ name: 'running', get: (s) => s.goroutines }] },
      { title: 'Memory', write: bytes, lines: [{ name: 'resident', get: (s) => s.memory }], binary: true },
    ];
    this.plots = plots.map((p) => {
      const el = html('pod-plot', { class: 'plot' });
      el.describe(p);
      return el;
    });
    this.span = html(
      'select',
      { onchange: () => this.#draw() },
      spans.map((m) => html('option', { value: m, selected: m === 5 }, `${m} minutes`)),
    );
    this.what = html('p', { class: 'lead' });
    this.rows = html('tbody');
    this.append(
      html('div', { class: 'tools' }, this.what, field('Time', this.span)),
      html('div', { class: 'plots' }, this.plots),
      table(
        'Routes in the latest sample; choose one to plot it',
        [['Route'], ...['Requests a second', 'Errors a second', 'p50', 'p95', 'p99'].map((h) => [h, 'figure'])],
        this.rows,
      ),
    );
    this.#row('');
    this.#draw();
  }

  source({ from, interval }) {
    this.#from = from;
    this.#interval = interval;
  }

  sample(samples) {
    this.#samples = samples;
    if (this.plots) this.#draw();
  }

  #row(label) {
    const button = html(
      'button',
      { type: 'button', class: 'pick', 'aria-pressed': String(label === this.#route), onclick: () => this.#choose(label) },
      label || 'all routes',
    );
    const cells = Array.from({ length: 5 }, () => html('td', { class: 'figure' }));
    this.rows.append(html('tr', null, html('th', { scope: 'row' }, button), cells));
    this.#rows.set(label, { button, cells });
  }

  #choose(label) {
    this.#route = label;
    for (const [name, { button }] of this.#rows) button.setAttribute('aria-pressed', String(name === label));
    this.#draw();
  }

  #draw() {
    const last = this.#samples.at(-1);
    for (const s of this.#samples) for (const { label } of s.routes) if (!this.#rows.has(label)) this.#row(label);
    for (const [label, { cells }] of this.#rows) {
      const r = last && (label ? (last.routes.find((r) => r.label === label) ?? none) : last);
      const percentiles = [r?.p50, r?.p95, r?.p99].map((p) => both(p?.s, p?.bound));
      [number(r?.rps), number(r?.errors), ...percentiles].forEach((v, i) => fill(cells[i], v));
    }
    const what = this.#route ? `Route ${this.#route}` : 'All routes';
    const who = this.#from ? pod(this.#from) : 'the server';
    const [least, most] = last?.buckets ?? [];
    const known = least ? ` Percentiles are estimates within the buckets of its histogram, which tell apart what takes ${seconds(least)} to ${seconds(most)}.` : '';
    this.what.textContent = `${what}, a sample every ${seconds(this.#interval / 1e3)}, as ${who} measures it.${known}`;
    for (const plot of this.plots) plot.draw(this.#samples, this.span.value * 60e3, 2.5 * this.#interval);
  }
}
customElements.define('pod-live', Live);
