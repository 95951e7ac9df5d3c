// Who answered last: a strip of the last answers of api/info, coloured by
// version and pod, while replicas come and go.

import { call } from './api.js';
import { announce, clock, field, html, percent, seconds, table } from './dom.js';

const length = 200; // answers that are kept
const told = 4; // pieces of news that are kept
const row = 3; // errors, or good answers, that are news; a few errors among many are not
const most = 3; // requests at once; a browser has six connections for HTTP/1.1
const patience = 15e3; // ms until no answer is one
const rates = [0.5, 1, 2, 5, 10]; // requests a second

class Answers extends HTMLElement {
  #answers = [];
  #busy = 0;
  #paused = false;
  #failing = false;
  #seen = { versions: new Map(), pods: new Map() }; // to their number, in order of appearance

  show() {
    if (this.strip) return;
    this.rate = html(
      'select',
      { onchange: () => this.#pace() },
      rates.map((r) => html('option', { value: r, selected: r === 1 }, `${r} a second`)),
    );
    this.pause = html('button', { type: 'button', 'aria-pressed': 'false', onclick: () => this.#pace(!this.#paused) }, 'Pause');
    this.summary = html('p', { class: 'lead' }, 'Nobody has answered yet.');
    this.strip = html(
      'div',
      { class: 'strip', role: 'img', 'aria-label': 'No answers yet' },
      Array.from({ length }, () => html('i')),
    );
    this.legend = html('tbody');
    this.news = html('ol', { class: 'news' });
    this.append(
      html('div', { class: 'tools' }, this.summary, field('Rate', this.rate), this.pause),
      this.strip,
      html(
        'div',
        { class: 'columns' },
        table(
          `The last ${length} answers by version and pod`,
          [['Answered by'], ['Pod'], ['Answers', 'figure'], ['Share', 'figure'], ['Median', 'figure']],
          this.legend,
        ),
        html('div', null, html('h3', null, 'News'), this.news),
      ),
    );
    this.#pace();
  }

  watch(on) {
    this.watched = on;
    this.#pace();
  }

  #pace(paused = this.#paused) {
    this.#paused = paused;
    clearInterval(this.timer);
    if (!this.strip) return;
    this.pause.setAttribute('aria-pressed', String(paused));
    if (this.watched && !paused) this.timer = setInterval(() => this.#ask(), 1e3 / this.rate.value);
  }

  async #ask() {
    if (this.#busy >= most) return;
    this.#busy++;
    const began = performance.now();
    const answer = { t: Date.now(), status: 0 };
    try {
      const reply = await call('api/info', { signal: AbortSignal.timeout(patience) });
      answer.status = reply.status;
      if (reply.ok) answer.about = reply.json();
    } catch {
      /* no answer, or none of podinfo's: it has no about */
    }
    answer.ms = performance.now() - began;
    this.#busy--;
    this.#add(answer);
    this.dispatchEvent(new CustomEvent('answer', { bubbles: true, detail: answer }));
  }

  #add(answer) {
    const { about } = answer;
    if (about) {
      answer.kind = this.#number(this.#seen.versions, about.version, `version ${about.version} began to answer`);
      answer.pod = this.#number(this.#seen.pods, about.hostname, `pod ${about.hostname} began to answer`);
    }
    const cell =
      this.#answers.length < length ? this.strip.children[this.#answers.length] : this.strip.appendChild(this.strip.firstElementChild);
    this.#answers = [...this.#answers.slice(1 - length), answer];
    const recent = this.#answers.slice(-row);
    if (recent.length === row && recent.every((a) => !a.about === !this.#failing)) {
      this.#failing = !this.#failing;
      this.#tell(this.#failing ? `errors in a row: ${fault(answer)}` : 'answers are good again');
    }

    cell.className = about ? `v${answer.kind % 6} p${answer.pod % 4}` : answer.status ? 'error' : 'lost';
    cell.title = `${clock(answer.t)} ${about ? `${about.version} ${about.hostname}` : fault(answer)}, ${seconds(answer.ms / 1e3)}`;
    this.#sum();
  }

  #number(known, name, text) {
    if (!known.has(name)) {
      known.set(name, known.size);
      if (this.#answers.length) this.#tell(text);
    }
    return known.get(name);
  }

  #tell(text) {
    announce(text);
    this.news.prepend(html('li', null, html('time', null, clock(Date.now())), ` ${text}`));
    while (this.news.children.length > told) this.news.lastElementChild.remove();
  }

  #sum() {
    const all = this.#answers,
      groups = new Map();
    for (const a of all) {
      const key = a.about ? `${a.about.version} ${a.about.hostname}` : fault(a);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(a);
    }
    const bad = all.filter((a) => !a.about).length;
    const last = all.at(-1);
    const many = all.length === 1 ? '1 answer' : `Last ${all.length} answers`;
    const latest = last.about ? `${last.about.version} from ${last.about.hostname}` : fault(last);
    this.summary.textContent = `${many}, ${percent(bad / all.length)} errors. Latest: ${latest} in ${seconds(last.ms / 1e3)}.`;
    this.strip.setAttribute('aria-label', [...groups].map(([key, list]) => `${key}: ${list.length}`).join(', '));
    this.legend.replaceChildren(
      ...[...groups]
        .sort(([a], [b]) => a.localeCompare(b))
        .map(([key, list]) => {
          const [{ about, kind, pod, status }] = list;
          const swatch = html('i', { class: `swatch ${about ? `v${kind % 6} p${pod % 4}` : status ? 'error' : 'lost'}` });
          const times = list.map((a) => a.ms).sort((a, b) => a - b);
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

// fault is what an answer is called that says not who gave it.
const fault = ({ status }) => (!status ? 'no answer' : status >= 400 ? `error ${status}` : `not podinfo, ${status}`);

customElements.define('pod-answers', Answers);
