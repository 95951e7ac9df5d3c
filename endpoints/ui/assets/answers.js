// Who answered last: a strip of the last answers of api/info, coloured by
// version and pod, while replicas come and go.

import { call } from './api.js';
import { announce, clock, field, html, percent, seconds, table } from './dom.js';

const length = 200; // answers that are kept
const told = 4; // pieces of news that are kept
const row = 3; // errors, or good answers, that are news; a few errors among many are not
const most = 3; // requests at once; a browser has six connections for HTTP/1.1
const patience = 15e3; // ms until no answer is one
const versions = 8; // with a hue of their own
const pods = 8; // with a shade of their own
const rates = [0.5, 1, 2, 5, 10]; // requests a second

class Answers extends HTMLElement {
  #answers = [];
  #busy = 0;
  #paused = false;
  #failing = false;
  #seen = new Set(); // versions and pods

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
    this.legend = html('tbody', { class: 'legend' });
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
      if (reply.ok && isInfo(reply.json())) answer.about = reply.json();
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
      this.#number(answer);
      this.#meet(`version ${about.version}`);
      this.#meet(`pod ${about.hostname}`);
    }
    const cell =
      this.#answers.length < length ? this.strip.children[this.#answers.length] : this.strip.appendChild(this.strip.firstElementChild);
    this.#answers = [...this.#answers.slice(1 - length), answer];
    const recent = this.#answers.slice(-row);
    if (recent.length === row && recent.every((a) => !a.about === !this.#failing)) {
      this.#failing = !this.#failing;
      this.#tell(this.#failing ? `errors in a row: ${fault(answer)}` : 'answers are good again');
    }

    cell.className = look(answer);
    cell.title = `${clock(answer.t)} ${about ? `${about.version} ${about.hostname}` : fault(answer)}, ${seconds(answer.ms / 1e3)}`;
    this.#sum();
  }

  // number gives the version, and the pod within it, the lowest number that no
  // other has among the last answers.
  #number(answer) {
    const { version, hostname } = answer.about;
    const known = this.#answers.slice(1 - length).filter((a) => a.about);
    const alike = known.filter((a) => a.about.version === version);
    answer.kind = alike[0]?.kind ?? lowest(known.map((a) => a.kind));
    answer.pod = alike.find((a) => a.about.hostname === hostname)?.pod ?? lowest(alike.map((a) => a.pod));
  }

  #meet(who) {
    if (this.#answers.length && !this.#seen.has(who)) this.#tell(`${who} began to answer`);
    this.#seen.add(who);
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
    const refused = all.filter(isRefused).length,
      bad = all.filter((a) => !a.about).length - refused;
    const last = all.at(-1);
    const many = all.length === 1 ? '1 answer' : `Last ${all.length} answers`;
    const latest = last.about ? `${last.about.version} from ${last.about.hostname}` : fault(last);
    const denied = refused ? `, ${percent(refused / all.length)} refused` : '';
    this.summary.textContent = `${many}, ${percent(bad / all.length)} errors${denied}. Latest: ${latest} in ${seconds(last.ms / 1e3)}.`;
    this.strip.setAttribute('aria-label', [...groups].map(([key, list]) => `${key}: ${list.length}`).join(', '));
    this.legend.replaceChildren(
      ...[...groups]
        .sort(([a], [b]) => a.localeCompare(b))
        .map(([key, list]) => {
          const [{ about }] = list;
          const swatch = html('i', { class: `swatch ${look(list[0])}` });
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

const isInfo = (x) => typeof x?.version === 'string' && typeof x.hostname === 'string';
const isRefused = ({ status }) => status === 401 || status === 403; // by a guard

function lowest(taken) {
  let n = 0;
  while (taken.includes(n)) n++;
  return n;
}

// look is the class of an answer's colour.
const look = ({ about, kind, pod, status }) => (about ? `v${kind % versions} p${pod % pods}` : status ? 'error' : 'lost');

// fault is what an answer is called that says not who gave it.
function fault(answer) {
  const { status } = answer;
  if (!status) return 'no answer';
  if (isRefused(answer)) return `refused (${status})`;
  return status >= 400 ? `error ${status}` : `not podinfo, ${status}`;
}

customElements.define('pod-answers', Answers);
