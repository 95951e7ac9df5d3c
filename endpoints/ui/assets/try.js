// The "Try it" panel has a form for every route and every gRPC method, made from
// their declarations.

import { address, call } from './api.js';
import { announce, bytes, field, fill, html, seconds } from './dom.js';
import { grpcurl, invoke, showReply } from './rpc.js';

const maxShown = 256 << 10; // bytes of a response body
const anyMethod = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const wildcard = /\{([A-Za-z0-9_]+)(\.\.\.)?\}/g;
const dangerous = /^\/panic$|PanicService\/Panic$/; // terminates the process

const quote = (s) => `'${s.replaceAll("'", `'\\''`)}'`;

// curl returns the request as a shell command.
function curl({ method, url, headers, body }) {
  const words = ['curl -i'];
  if (method !== (body === undefined ? 'GET' : 'POST')) words.push(`-X ${method}`);
  for (const [name, value] of headers) words.push(`-H ${quote(`${name}: ${value}`)}`);
  if (body !== undefined) words.push(`--data-raw ${quote(body)}`);
  return [...words, quote(url)].join(' ');
}

class Try extends HTMLElement {
  show({ routes, calls, api, modules }) {
    const setting = (key) => modules.flatMap((m) => m.settings).find((s) => s.key === `PODINFO_${key}`)?.value;
    this.api = api;
    this.server = { port: setting('GRPC_PORT'), tls: setting('GRPC_TLS') === 'true' };
    const methods = calls.map((c) => ({ ...c, path: c.method, method: '', rpc: c.method, tag: 'gRPC' }));
    const list = [...routes.filter((r) => r.module !== 'ui' || r.summary), ...methods];
    const key = JSON.stringify([!api, list.map((r) => ({ ...r, chain: '' }))]);
    if (key === this.key) return;
    this.key = key;
    this.routes = list;
    const selected = this.select?.selectedOptions[0]?.textContent;
    const groups = Map.groupBy(list, (r) => r.tag || 'Other');
    this.select = html(
      'select',
      { onchange: () => this.#choose() },
      [...groups].map(([tag, rs]) =>
        html(
          'optgroup',
          { label: tag },
          rs.map((r) => html('option', { value: list.indexOf(r) }, `${r.rpc ? 'gRPC' : r.method || 'any'} ${r.path.slice(r.rpc ? 1 : 0)}${r.summary ? ` – ${r.summary}` : ''}`)),
        ),
      ),
    );
    const same = [...this.select.options].find((o) => o.textContent === selected);
    this.select.value =
      same?.value ??
      Math.max(
        list.findIndex((r) => r.path === '/echo'),
        0,
      );
    this.about = html('p', { class: 'lead' });
    this.inputs = html('div', { class: 'inputs' });
    this.command = html('pre', { class: 'command', tabindex: 0, role: 'group', 'aria-label': 'The request as a command' });
    this.button = html('button', null, 'Send');
    this.cancel = html('button', { type: 'button', hidden: true, onclick: () => this.abort.abort() }, 'Cancel');
    this.note = html('p', { class: 'refused', role: 'alert' });
    this.reply = html('div', { class: 'reply' }, html('p', { class: 'note' }, 'The response appears here.'));
    this.form = html(
      'form',
      { onsubmit: (e) => this.#submit(e), oninput: () => this.#preview() },
      field('Route or method', this.select),
      this.about,
      this.inputs,
      html('h3', null, 'Request'),
      this.command,
      html('div', { class: 'row' }, this.button, this.cancel, html('button', { type: 'button', onclick: () => this.#copy() }, 'Copy command')),
      this.note,
    );
    this.replaceChildren(html('div', { class: 'columns' }, this.form, html('div', null, html('h3', null, 'Response'), this.reply)));
    this.#choose();
  }

  #choose() {
    const route = (this.route = this.routes[this.select.value]);
    if (route.rpc) {
      this.#chooseCall(route);
      return;
    }
    this.button.disabled = false;
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
    // A browser that does not ask for JSON gets this page at /.
    const headers = route.path === '/' && 'Accept: application/json';
    this.headers = html('textarea', { rows: 3, spellcheck: 'false', placeholder: 'Name: value' }, headers);
    const takesBody = route.body || ['', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(route.method);
    const params = [
      !route.method && field('Method', this.method),
      ...[...this.params].map(([name, input]) => field(name, input, route.params?.[name])),
    ].filter(Boolean);
    fill(
      this.inputs,
      params.length > 0 && html('div', { class: 'grid' }, params),
      html('div', { class: 'grid' }, takesBody && field('Body', this.body, route.body), field('Headers', this.headers, 'one per line')),
    );
    const statuses = Object.keys(route.returns ?? {}).join(', ');
    this.about.textContent = `Served by ${route.module}.${statuses && ` Returns ${statuses}.`}${route.internal ? ' Exempt from faults.' : ''}`;
    this.armed = false;
    this.note.textContent = '';
    this.button.textContent = 'Send';
    this.#preview();
  }

  #chooseCall({ module, kind, request }) {
    this.params = new Map();
    this.body = html('textarea', { rows: 4, spellcheck: 'false' }, JSON.stringify(request, null, 2));
    this.headers = html('textarea', { rows: 3, spellcheck: 'false', placeholder: 'name: value' });
    fill(this.inputs, html('div', { class: 'grid' }, field('Message', this.body, 'JSON'), field('Metadata', this.headers, 'one per line')));
    this.about.textContent = `Served by ${module} over gRPC (${kind.replaceAll('_', ' ')}). The server makes the call, which passes its chain.`;
    this.armed = false;
    this.button.textContent = 'Send';
    this.button.disabled = !this.api;
    this.note.textContent = this.api ? '' : 'Calls from the page require PODINFO_UI_ADMIN=true.';
    this.#preview();
  }

  #lines() {
    return this.headers.value
      .split('\n')
      .filter((l) => l.trim())
      .map((l) => [l.split(':')[0].trim(), l.split(':').slice(1).join(':').trim()]);
  }

  #call() {
    return { method: this.route.rpc, metadata: this.#lines(), message: this.body.value };
  }

  #request() {
    const { route } = this;
    const method = route.method || this.method.value;
    const path = route.path.replace(wildcard, (_, name, rest) => {
      const value = this.params.get(name).value;
      return rest ? value.split('/').map(encodeURIComponent).join('/').replace(/^\//, '') : encodeURIComponent(value);
    });
    const headers = this.#lines();
    const body = this.body.isConnected && method !== 'GET' && this.body.value !== '' ? this.body.value : undefined;
    if (body !== undefined && !headers.some(([n]) => n.toLowerCase() === 'content-type')) headers.unshift(['Content-Type', 'text/plain']);
    return { method, path, url: address(path).href, headers, body };
  }

  #preview() {
    this.command.textContent = this.route.rpc ? grpcurl(this.#call(), this.server) : curl(this.#request());
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.command.textContent);
      announce('Copied');
    } catch {
      // Not a secure context: select the text for the user to copy.
      getSelection().selectAllChildren(this.command);
    }
  }

  async #submit(e) {
    e.preventDefault();
    if (!this.cancel.hidden) return; // a request is running
    if (dangerous.test(this.route.path) && !this.armed) {
      this.armed = true;
      this.button.textContent = 'End the process';
      this.note.textContent = 'This ends the server process. Press again to confirm.';
      return;
    }
    this.armed = false;
    this.note.textContent = '';
    this.button.textContent = 'Send';
    this.abort = new AbortController();
    this.cancel.hidden = false;
    const began = performance.now();
    try {
      if (this.route.rpc) await this.#invoke(began);
      else {
        const { path, method, headers, body } = this.#request();
        this.#show(await call(path, { method, headers, body, limit: maxShown, signal: this.abort.signal }));
      }
    } catch (e) {
      const reason = e.name === 'AbortError' ? 'Cancelled' : this.route.rpc ? `${e.message}:` : `No response, or a request that browsers do not send (${e.message}),`;
      const result = `${reason} after ${seconds((performance.now() - began) / 1e3)}`;
      this.reply.replaceChildren(html('p', { class: 'status', 'data-tone': 'bad' }, result));
      announce(result);
    }
    if (document.activeElement === this.cancel) this.button.focus();
    this.cancel.hidden = true;
  }

  async #invoke(began) {
    const reply = await invoke(this.#call(), this.api.token, this.abort.signal);
    const took = seconds((performance.now() - began) / 1e3);
    showReply(this.reply, reply, took);
    announce(`${reply.code} after ${took}`);
  }

  #show(reply) {
    const status = `${reply.status} ${reply.res.statusText}`.trim();
    const type = reply.res.headers.get('Content-Type') ?? '';
    const lines = [...reply.res.headers].map(([name, value]) => `${name}: ${value}`).join('\n');
    this.reply.replaceChildren(
      html(
        'p',
        { class: 'status', 'data-tone': reply.ok ? 'good' : 'bad' },
        html('b', null, status),
        ` in ${seconds(reply.ms / 1e3)}, first byte after ${seconds(reply.first / 1e3)}, ${bytes(reply.size)}${reply.truncated ? ', truncated' : ''}`,
      ),
      html('h4', null, 'Headers'),
      html('pre', { tabindex: 0 }, lines),
      html('h4', null, 'Body'),
      html('pre', { class: 'body', tabindex: 0 }, reply.text ? pretty(reply.text, type) : '(empty)'),
    );
    announce(`${status} after ${seconds(reply.ms / 1e3)}`);
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
