// The responses panel requests api/info at a steady rate and shows the latest
// responses as a strip, coloured by version and pod.

import { call } from './api.js';
import { announce, clock, field, html, percent, seconds, table } from './dom.js';

const maxResponses = 200; // responses shown
const maxEvents = 4; // events shown
const streak = 3; // consecutive failures or successes that make an event; single failures do not
const maxConcurrent = 3; // requests at the same time; a browser opens six connections for HTTP/1.1
const timeout = 15e3; // ms until a request counts as failed
const hues = 8; // distinct colours for versions
const shades = 8; // distinct shades for the pods of a version
const rates = [0.5, 1, 2, 5, 10]; // requests per second

class Responses extends HTMLElement {
  #responses = [];
  #pending = 0;
  #paused = false;
  #failing = false;
  #seen = new Set(); // names of versions and pods

  show() {
    if (this.strip) return;
    this.rate = html(
      'select',
      { onchange: () => this.#schedule() },
      rates.map((r) => html('option', { value: r, selected: r === 1 }, `${r} per second`)),
    );
    this.pause = html('button', { type: 'button', 'aria-pressed': 'false', onclick: () => this.#schedule(!this.#paused) }, 'Pause');
    this.summary = html('p', { class: 'lead' }, 'No responses yet.');
    this.strip = html(
      'div',
      { class: 'strip', role: 'img', 'aria-label': 'No responses yet' },
      Array.from({ length: maxResponses }, () => html('i')),
    );
    this.legend = html('tbody', { class: 'legend' });
    this.events = html('ol', { class: 'events' });
    this.append(
      html('div', { class: 'tools' }, this.summary, field('Rate', this.rate), this.pause),
      this.strip,
      html(
        'div',
        { class: 'columns' },
        table(
          `The last ${maxResponses} responses by version and pod`,
          [['Version or error'], ['Pod'], ['Responses', 'figure'], ['Share', 'figure'], ['Median', 'figure']],
          this.legend,
        ),
        html('div', null, html('h3', null, 'Events'), this.events),
      ),
    );
    this.#schedule();
  }

  watch(on) {
    this.visible = on;
    this.#schedule();
  }

  #schedule(paused = this.#paused) {
    this.#paused = paused;
    clearInterval(this.timer);
    if (!this.strip) return;
    this.pause.setAttribute('aria-pressed', String(paused));
    if (this.visible && !paused) this.timer = setInterval(() => this.#request(), 1e3 / this.rate.value);
  }

  async #request() {
    if (this.#pending >= maxConcurrent) return;
    this.#pending++;
    const began = performance.now();
    const response = { t: Date.now(), status: 0 };
    try {
      const reply = await call('api/info', { signal: AbortSignal.timeout(timeout) });
      response.status = reply.status;
      if (reply.ok && isInfo(reply.json())) response.about = reply.json();
    } catch {
      /* no response, or not podinfo's: about stays undefined */
    }
    response.ms = performance.now() - began;
    this.#pending--;
    this.#add(response);
    this.dispatchEvent(new CustomEvent('response', { bubbles: true, detail: response }));
  }

  #add(response) {
    const { about } = response;
    if (about) {
      this.#assignColor(response);
      this.#noteName(`version ${about.version}`);
      this.#noteName(`pod ${about.hostname}`);
    }
    const count = this.#responses.length;
    const cell = count < maxResponses ? this.strip.children[count] : this.strip.appendChild(this.strip.firstElementChild);
    this.#responses = [...this.#responses.slice(1 - maxResponses), response];
    const recent = this.#responses.slice(-streak);
    if (recent.length === streak && recent.every((r) => !r.about === !this.#failing)) {
      this.#failing = !this.#failing;
      this.#addEvent(this.#failing ? `requests are failing: ${failure(response)}` : 'requests succeed again');
    }

    cell.className = colorClass(response);
    cell.title = `${clock(response.t)} ${about ? `${about.version} ${about.hostname}` : failure(response)}, ${seconds(response.ms / 1e3)}`;
    this.#summarize();
  }

  // assignColor gives the version a hue, and the pod a shade of it: the lowest
  // numbers that are free among the latest responses.
  #assignColor(response) {
    const { version, hostname } = response.about;
    const known = this.#responses.slice(1 - maxResponses).filter((r) => r.about);
    const same = known.filter((r) => r.about.version === version);
    response.hue = same[0]?.hue ?? lowestFree(known.map((r) => r.hue));
    response.shade = same.find((r) => r.about.hostname === hostname)?.shade ?? lowestFree(same.map((r) => r.shade));
  }

  // noteName adds an event when a version or pod responds for the first time.
  #noteName(name) {
    if (this.#responses.length && !this.#seen.has(name)) this.#addEvent(`${name} started responding`);
    this.#seen.add(name);
  }

  #addEvent(text) {
    announce(text);
    this.events.prepend(html('li', null, html('time', null, clock(Date.now())), ` ${text}`));
    while (this.events.children.length > maxEvents) this.events.lastElementChild.remove();
  }

  #summarize() {
    const all = this.#responses,
      groups = new Map();
    for (const r of all) {
      const key = r.about ? `${r.about.version} ${r.about.hostname}` : failure(r);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(r);
    }
    const refused = all.filter(isRefused).length,
      errors = all.filter((r) => !r.about).length - refused;
    const last = all.at(-1);
    const total = all.length === 1 ? '1 request' : `Last ${all.length} requests`;
    const latest = last.about ? `${last.about.version} from ${last.about.hostname}` : failure(last);
    const denied = refused ? `, ${percent(refused / all.length)} refused` : '';
    this.summary.textContent = `${total}, ${percent(errors / all.length)} errors${denied}. Latest: ${latest} in ${seconds(last.ms / 1e3)}.`;
    this.strip.setAttribute('aria-label', [...groups].map(([key, list]) => `${key}: ${list.length}`).join(', '));
    this.legend.replaceChildren(
      ...[...groups]
        .sort(([a], [b]) => a.localeCompare(b))
        .map(([key, list]) => {
          const [{ about }] = list;
          const swatch = html('i', { class: `swatch ${colorClass(list[0])}` });
          const times = list.map((r) => r.ms).sort((a, b) => a - b);
          return html(
            'tr',
            null,
            html('th', { scope: 'row' }, swatch, about?.version ?? key),
            html('td', null, about?.hostname ?? '–'),
            [list.length, percent(list.length / all.length), seconds(times[times.length >> 1] / 1e3)].map((v) =>
              html('td', { class: 'figure' }, v),
            ),
          );
        }),
    );
  }
}

const isInfo = (x) => typeof x?.version === 'string' && typeof x.hostname === 'string';
const isRefused = ({ status }) => status === 401 || status === 403; // by a guard, which is not an error of the server

function lowestFree(taken) {
  let n = 0;
  while (taken.includes(n)) n++;
  return n;
}

// colorClass returns the CSS class for a response's colour.
const colorClass = ({ about, hue, shade, status }) => (about ? `v${hue % hues} p${shade % shades}` : status ? 'error' : 'lost');

// failure names what went wrong with a response that does not identify its pod.
function failure(response) {
  const { status } = response;
  if (!status) return 'no response';
  if (isRefused(response)) return `refused (${status})`;
  return status >= 400 ? `error ${status}` : `not from podinfo (${status})`;
}

customElements.define('pod-responses', Responses);
