// A form for every route, made from its declaration.

import { address, call } from './api.js';
import { announce, bytes, field, fill, html, seconds } from './dom.js';

const shown = 256 << 10; // bytes of a reply that are shown
const anyMethod = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const wildcard = /\{([A-Za-z0-9_]+)(\.\.\.)?\}/g;
const dangerous = /^\/panic$/; // ends the process

const quote = (s) => `'${s.replaceAll("'", `'\\''`)}'`;

// curl is the request as a command for a shell.
function curl({ method, url, headers, body }) {
  const words = ['curl -i'];
  if (method !== (body === undefined ? 'GET' : 'POST')) words.push(`-X ${method}`);
  for (const [name, value] of headers) words.push(`-H ${quote(`${name}: ${value}`)}`);
  if (body !== undefined) words.push(`--data-raw ${quote(body)}`);
  return [...words, quote(url)].join(' ');
}

class Try extends HTMLElement {
  show({ routes }) {
    const list = routes.filter((r) => r.module !== 'ui' || r.summary);
    const kind = JSON.stringify(list.map((r) => ({ ...r, chain: '' })));
    if (kind === this.kind) return;
    this.kind = kind;
    this.routes = list;
    const before = this.select?.selectedOptions[0]?.textContent;
    const groups = Map.groupBy(list, (r) => r.tag || 'Other');
    this.select = html(
      'select',
      { onchange: () => this.#choose() },
      [...groups].map(([tag, rs]) =>
        html(
          'optgroup',
          { label: tag },
          rs.map((r) => html('option', { value: list.indexOf(r) }, `${r.method || 'any'} ${r.path}${r.summary ? ` – ${r.summary}` : ''}`)),
        ),
      ),
    );
    const same = [...this.select.options].find((o) => o.textContent === before);
    this.select.value =
      same?.value ??
      Math.max(
        list.findIndex((r) => r.path === '/echo'),
        0,
      );
    this.about = html('p', { class: 'lead' });
    this.inputs = html('div', { class: 'inputs' });
    this.command = html('pre', { class: 'command', tabindex: 0, role: 'group', 'aria-label': 'The request as curl' });
    this.button = html('button', null, 'Send');
    this.cancel = html('button', { type: 'button', hidden: true, onclick: () => this.abort.abort() }, 'Cancel');
    this.note = html('p', { class: 'refused', role: 'alert' });
    this.reply = html('div', { class: 'reply' }, html('p', { class: 'note' }, 'The response is shown here.'));
    this.form = html(
      'form',
      { onsubmit: (e) => this.#submit(e), oninput: () => this.#preview() },
      field('Route', this.select),
      this.about,
      this.inputs,
      html('h3', null, 'Request'),
      this.command,
      html('div', { class: 'row' }, this.button, this.cancel, html('button', { type: 'button', onclick: () => this.#copy() }, 'Copy curl')),
      this.note,
    );
    this.replaceChildren(html('div', { class: 'columns' }, this.form, html('div', null, html('h3', null, 'Response'), this.reply)));
    this.#choose();
  }

  #choose() {
    const route = (this.route = this.routes[this.select.value]);
    const samples = { code: '200', wait: '1', seconds: '1', key: 'demo', hash: '' };
    this.params = new Map(
      [...route.path.matchAll(wildcard)].map(([, name, rest]) => [
        name,
        html('input', { value: samples[name], required: !rest, spellcheck: 'false', autocomplete: 'off' }),
      ]),
    );
    this.method = html(
      'select',
      null,
      anyMethod.map((m) => html('option', { selected: route.body && m === 'POST' }, m)),
    );
    this.body = html('textarea', { rows: 3, spellcheck: 'false' }, route.body && 'hello');
    // There, a browser that does not ask for JSON gets this page.
    const headers = route.path === '/' && 'Accept: application/json';
    this.headers = html('textarea', { rows: 3, spellcheck: 'false', placeholder: 'Name: value' }, headers);
    const reads = route.body || ['', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(route.method);
    const params = [
      !route.method && field('Method', this.method),
      ...[...this.params].map(([name, input]) => field(name, input, route.params?.[name])),
    ].filter(Boolean);
    fill(
      this.inputs,
      params.length > 0 && html('div', { class: 'grid' }, params),
      html('div', { class: 'grid' }, reads && field('Body', this.body, route.body), field('Headers', this.headers, 'one a line')),
    );
    const answers = Object.keys(route.returns ?? {}).join(', ');
    this.about.textContent = `Served by ${route.module}.${answers && ` Answers ${answers}.`}${route.internal ? ' Faults do not touch it.' : ''}`;
    this.armed = false;
    this.note.textContent = '';
    this.button.textContent = 'Send';
    this.#preview();
  }

  #request() {
    const { route } = this;
    const method = route.method || this.method.value;
    const path = route.path.replace(wildcard, (_, name, rest) => {
      const value = this.params.get(name).value;
      return rest ? value.split('/').map(encodeURIComponent).join('/').replace(/^\//, '') : encodeURIComponent(value);
    });
    const headers = this.headers.value
      .split('\n')
      .filter((l) => l.trim())
      .map((l) => [l.split(':')[0].trim(), l.split(':').slice(1).join(':').trim()]);
    const body = this.body.isConnected && method !== 'GET' && this.body.value !== '' ? this.body.value : undefined;
    if (body !== undefined && !headers.some(([n]) => n.toLowerCase() === 'content-type')) headers.unshift(['Content-Type', 'text/plain']);
    return { method, path, url: address(path).href, headers, body };
  }

  #preview() {
    this.command.textContent = curl(this.#request());
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.command.textContent);
      announce('Copied');
    } catch {
      // not a secure context: select it for the user
      getSelection().selectAllChildren(this.command);
    }
  }

  async #submit(e) {
    e.preventDefault();
    if (!this.cancel.hidden) return; // one at a time
    if (dangerous.test(this.route.path) && !this.armed) {
      this.armed = true;
      this.button.textContent = 'End the process';
      this.note.textContent = 'This ends the server process. Press again if you mean it.';
      return;
    }
    this.armed = false;
    this.note.textContent = '';
    this.button.textContent = 'Send';
    const { path, method, headers, body } = this.#request();
    this.abort = new AbortController();
    this.cancel.hidden = false;
    const began = performance.now();
    try {
      this.#show(await call(path, { method, headers, body, limit: shown, signal: this.abort.signal }));
    } catch (e) {
      const why = e.name === 'AbortError' ? 'Cancelled' : `No answer, or a request that browsers do not send (${e.message}),`;
      const said = `${why} after ${seconds((performance.now() - began) / 1e3)}`;
      this.reply.replaceChildren(html('p', { class: 'status', 'data-tone': 'bad' }, said));
      announce(said);
    }
    if (document.activeElement === this.cancel) this.button.focus();
    this.cancel.hidden = true;
  }

  #show(reply) {
    const said = `${reply.status} ${reply.res.statusText}`.trim();
    const type = reply.res.headers.get('Content-Type') ?? '';
    const lines = [...reply.res.headers].map(([name, value]) => `${name}: ${value}`).join('\n');
    this.reply.replaceChildren(
      html(
        'p',
        { class: 'status', 'data-tone': reply.ok ? 'good' : 'bad' },
        html('b', null, said),
        ` in ${seconds(reply.ms / 1e3)}, first byte after ${seconds(reply.first / 1e3)}, ${bytes(reply.size)}${reply.cut ? ' and more' : ''}`,
      ),
      html('h4', null, 'Headers'),
      html('pre', { tabindex: 0 }, lines),
      html('h4', null, 'Body'),
      html('pre', { class: 'body', tabindex: 0 }, reply.text ? pretty(reply.text, type) : '(empty)'),
    );
    announce(`${said} after ${seconds(reply.ms / 1e3)}`);
  }
}

function pretty(text, type) {
  try {
    return /json/.test(type) ? JSON.stringify(JSON.parse(text), null, 2) : text;
  } catch {
    return text;
  }
}
customElements.define('pod-try', Try);
