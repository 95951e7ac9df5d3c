// The responses panel requests api/info at a steady rate and shows the latest
// responses as a strip, coloured by version and pod. Each response says who made
// it, errors included.

import { call } from './api.js';
import { colorsOf } from './colors.js';
import { announce, clock, field, html, percent, seconds, table } from './dom.js';

const maxResponses = 200; // responses shown
const maxEvents = 4; // events shown
const streak = 3; // consecutive failures or successes that make an event; single failures do not
const maxConcurrent = 3; // requests at the same time; a browser opens six connections for HTTP/1.1
const timeout = 15e3; // ms until a request counts as failed
const shades = 8; // distinct shades for the pods of a version
const rates = [0.5, 1, 2, 5, 10]; // requests per second
const talkRate = 5; // in a presenter's view, where nobody can choose it
const maxVersions = 64; // whose colours are remembered
const maxQuestions = 20; // for the colour of a version that only fails

class Responses extends HTMLElement {
  #responses = [];
  #pending = 0;
  #paused = false;
  #failing = false;
  #seen = new Set(); // names of versions and pods
  #configured = new Map(); // colour by version; undefined while it is not known
  #colors = new Map(); // CSS colour by version
  #questions = 0;

  show({ about }) {
    if (this.strip) return;
    this.#learn(about.version, about.color);
    const rate = document.documentElement.dataset.view === 'talk' ? talkRate : 1;
    this.rate = html(
      'select',
      { onchange: () => this.#schedule() },
      rates.map((r) => html('option', { value: r, selected: r === rate }, `${r} per second`)),
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
          [['Version or error'], ['Pod'], ...['Responses', 'Share', 'Errors', 'Median'].map((h) => [h, 'figure'])],
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
      response.version = reply.res.headers.get('X-Podinfo-Version');
      response.hostname = reply.res.headers.get('X-Podinfo-Host');
      if (reply.ok && isInfo(reply.json())) response.about = reply.json();
    } catch {
      /* no response, or not podinfo's: about stays undefined */
    }
    response.ms = performance.now() - began;
    this.#pending--;
    if (response.about) Object.assign(response, { version: response.about.version, hostname: response.about.hostname });
    this.#add(response);
    this.dispatchEvent(new CustomEvent('response', { bubbles: true, detail: response }));
  }

  #add(response) {
    const { about, version, hostname } = response;
    if (version) {
      this.#learn(version, about?.color);
      this.#assignShade(response);
      this.#noteName(`version ${version}`);
      this.#noteName(`pod ${hostname}`);
    }
    const count = this.#responses.length;
    const cell = count < maxResponses ? this.strip.children[count] : this.strip.appendChild(this.strip.firstElementChild);
    this.#responses = [...this.#responses.slice(1 - maxResponses), response];
    const recent = this.#responses.slice(-streak);
    if (recent.length === streak && recent.every((r) => !r.about === !this.#failing)) {
      this.#failing = !this.#failing;
      this.#addEvent(this.#failing ? `requests are failing: ${nameOf(response)}` : 'requests succeed again');
    }

    cell.className = classOf(response);
    cell.dataset.version = version ?? '';
    cell.title = `${clock(response.t)} ${about ? `${version} ${hostname}` : nameOf(response)}, ${seconds(response.ms / 1e3)}`;
    this.#paint(cell);
    this.#summarize();
  }

  // learn remembers the configured colour of a version, and colours everything anew
  // if it is news. It asks for the colour of a version that has only failed so far.
  #learn(version, color) {
    const known = this.#configured.get(version);
    if (!color && !known) this.#ask();
    if (this.#configured.has(version) && (!color || color === known)) return;
    this.#configured.set(version, color ?? known);
    if (this.#configured.size > maxVersions) this.#configured.delete(this.#configured.keys().next().value);
    this.#colors = colorsOf(this.#configured);
    for (const el of this.querySelectorAll('[data-version]')) this.#paint(el);
  }

  // ask requests ui/about, which no fault affects. Any version may respond.
  async #ask() {
    if (this.asking || this.#questions >= maxQuestions) return;
    this.asking = true;
    this.#questions++;
    try {
      const reply = await call('ui/about');
      if (reply.ok && isInfo(reply.json())) this.#learn(reply.json().version, reply.json().color);
    } catch {
      /* asked again after the next error */
    }
    this.asking = false;
  }

  #paint(el) {
    const { color = '', mix = '' } = this.#colors.get(el.dataset.version) ?? {};
    el.style.setProperty('--c', color);
    el.style.setProperty('--mix', mix);
  }

  // assignShade gives a pod a shade of its version's colour: the lowest number that is
  // free among the latest responses.
  #assignShade(response) {
    const same = this.#responses.slice(1 - maxResponses).filter((r) => r.version === response.version);
    response.shade = same.find((r) => r.hostname === response.hostname)?.shade ?? lowestFree(same.map((r) => r.shade));
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
    const all = this.#responses;
    const groups = Map.groupBy(all, (r) => r.version ?? nameOf(r));
    const refused = all.filter(isRefused).length;
    const last = all.at(-1);
    const total = all.length === 1 ? '1 request' : `Last ${all.length} requests`;
    const denied = refused ? `, ${percent(refused / all.length)} refused` : '';
    this.summary.textContent = `${total}, ${percent(all.filter(isError).length / all.length)} errors${denied}. Latest: ${nameOf(last)} in ${seconds(last.ms / 1e3)}.`;
    this.strip.setAttribute('aria-label', [...groups].map(([key, list]) => `${key}: ${list.length}, ${list.filter(isError).length} errors`).join('; '));
    const rows = [...groups].sort(([a], [b]) => a.localeCompare(b)).flatMap(([key, list]) => {
      const pods = [...Map.groupBy(list, (r) => r.hostname)].sort(([a], [b]) => (a ?? '').localeCompare(b ?? ''));
      if (pods.length < 2) return [this.#row(key, pods[0][0], list)];
      return [this.#row(key, `${pods.length} pods`, list, true), ...pods.map(([name, part]) => this.#row('', name, part))];
    });
    this.legend.replaceChildren(...rows);
  }

  // row returns the row of a version or of one of its pods. A version with several
  // pods has no colour of its own: they have.
  #row(key, pod, list, plain) {
    const [first] = list;
    const swatch = html('i', { class: `swatch ${classOf({ ...first, about: true, failed: false })}`, 'data-version': first.version ?? '' });
    if (!first.version) swatch.className = `swatch ${classOf(first)}`;
    this.#paint(swatch);
    const times = list.map((r) => r.ms).sort((a, b) => a - b);
    const figures = [
      list.length,
      percent(list.length / this.#responses.length),
      first.version ? percent(list.filter(isError).length / list.length) : '–',
      seconds(times[times.length >> 1] / 1e3),
    ];
    return html(
      'tr',
      { class: key ? null : 'part' },
      html('th', { scope: 'row' }, !plain && swatch, key || html('span', { class: 'unseen' }, first.version)),
      html('td', null, pod ?? '–'),
      figures.map((v) => html('td', { class: 'figure' }, v)),
    );
  }
}

const isInfo = (x) => typeof x?.version === 'string' && typeof x.hostname === 'string';
const isRefused = ({ status }) => status === 401 || status === 403; // by a guard, which is not an error of the server
const isError = (r) => !r.about && !isRefused(r);

function lowestFree(taken) {
  let n = 0;
  while (taken.includes(n)) n++;
  return n;
}

// classOf returns the CSS classes for a response: its shade and whether it is an
// error.
function classOf(r) {
  if (r.version) return `v p${r.shade % shades}${isError(r) ? ' error' : ''}`;
  return r.status ? 'error' : 'lost';
}

// nameOf names a response: who made it, and what is wrong with it.
function nameOf(r) {
  const from = r.version ? ` from ${r.version} on ${r.hostname}` : '';
  if (r.about) return `${r.version} from ${r.hostname}`;
  if (!r.status) return 'no response';
  if (isRefused(r)) return `refused (${r.status})${from}`;
  if (r.status >= 400) return `error ${r.status}${from}`;
  return r.version ? `malformed response (${r.status})${from}` : `not from podinfo (${r.status})`;
}

customElements.define('pod-responses', Responses);
