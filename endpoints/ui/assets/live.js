// The live panel plots the metrics that the server sends.

import { bytes, field, fill, html, number, percent, pod, seconds, table } from './dom.js';
import './plot.js';

const spans = [2, 5, 15]; // minutes
const noTraffic = { rps: 0, errors: 0, faults: 0, p50: null, p95: null, p99: null };
const isCall = (label) => label.startsWith('/'); // a gRPC method; labels of routes have no slash

class Live extends HTMLElement {
  #samples = [];
  #route = ''; // '' for all routes
  #rows = new Map(); // by label, in order of appearance
  #interval = 2000;
  #accuracy; // relative error of the percentiles
  #from; // the instance that measures

  show() {
    if (this.plots) return;
    // valueOf returns a value of a sample for the selected route.
    const valueOf = (name) => (s) => (this.#route ? (s.routes.find((r) => r.label === this.#route) ?? noTraffic) : s)[name];
    const percentile = (name) => ({ name, get: valueOf(name) });
    const plots = [
      {
        title: 'Requests per second',
        format: number,
        lines: [
          { name: 'all', get: valueOf('rps') },
          { name: 'errors', get: valueOf('errors') },
        ],
      },
      {
        title: 'Latency',
        format: seconds,
        lines: [percentile('p50'), percentile('p95'), percentile('p99')],
      },
      { title: 'Goroutines', format: number, lines: [{ name: 'running', get: (s) => s.goroutines }] },
      { title: 'Memory', format: bytes, lines: [{ name: 'resident', get: (s) => s.memory }], binary: true },
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
    this.summary = html('p', { class: 'lead' });
    this.rows = html('tbody');
    this.append(
      html('div', { class: 'tools' }, this.summary, field('Range', this.span)),
      html('div', { class: 'plots' }, this.plots),
      table(
        'Routes and gRPC methods; select one to plot it',
        [['Route or method'], ...['Requests per second', 'Errors per second', 'With a fault', 'p50', 'p95', 'p99'].map((h) => [h, 'figure'])],
        this.rows,
      ),
    );
    this.#addRow('');
    this.#draw();
  }

  source({ from, interval, accuracy }) {
    this.#from = from;
    this.#interval = interval;
    this.#accuracy = accuracy;
  }

  sample(samples) {
    this.#samples = samples;
    if (this.plots) this.#draw();
  }

  #addRow(label) {
    const button = html(
      'button',
      { type: 'button', class: 'pick', 'aria-pressed': String(label === this.#route), onclick: () => this.#select(label) },
      label.slice(isCall(label)) || 'all routes',
    );
    const cells = Array.from({ length: 6 }, () => html('td', { class: 'figure' }));
    this.rows.append(html('tr', null, html('th', { scope: 'row' }, button, isCall(label) && html('span', { class: 'badge' }, 'gRPC')), cells));
    this.#rows.set(label, { button, cells });
  }

  #select(label) {
    this.#route = label;
    for (const [name, { button }] of this.#rows) button.setAttribute('aria-pressed', String(name === label));
    this.#draw();
  }

  #draw() {
    const last = this.#samples.at(-1);
    for (const s of this.#samples) for (const { label } of s.routes) if (!this.#rows.has(label)) this.#addRow(label);
    for (const [label, { cells }] of this.#rows) {
      const r = last && (label ? (last.routes.find((r) => r.label === label) ?? noTraffic) : last);
      const values = [number(r?.rps), number(r?.errors), r?.rps ? percent(r.faults / r.rps) : '–', ...[r?.p50, r?.p95, r?.p99].map(seconds)];
      values.forEach((v, i) => fill(cells[i], v));
    }
    const what = this.#route ? `${isCall(this.#route) ? 'gRPC method' : 'Route'} ${this.#route.slice(isCall(this.#route))}` : 'All routes';
    const where = this.#from ? pod(this.#from) : 'the server';
    const accuracy = this.#accuracy ? ` Percentiles are accurate to ${percent(this.#accuracy)}.` : '';
    const calls = last?.calls ? ` gRPC: ${share(last.calls.rps, last.rps)} of the traffic, ${share(last.calls.errors, last.calls.rps)} errors, ${share(last.calls.faults, last.faults)} of the faults.` : '';
    this.summary.textContent = `${what}, sampled every ${seconds(this.#interval / 1e3)} on ${where}.${accuracy}${calls}`;
    for (const plot of this.plots) plot.draw(this.#samples, this.span.value * 60e3, 2.5 * this.#interval);
  }
}
const share = (part, all) => percent(all ? part / all : 0);

customElements.define('pod-live', Live);
