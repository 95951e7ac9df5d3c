// What the server is asked for. All addresses are relative to the document's
// base, which stands for the server's prefix and for a proxy's.

export const address = (path) => new URL(path.replace(/^\/+/, ''), document.baseURI);

// call sends a request and reads its reply, at most limit bytes of it. A reply
// of any status is a result; only no answer is an error.
export async function call(path, { limit = 1 << 20, signal, ...init } = {}) {
  const began = performance.now();
  const res = await fetch(address(path), { cache: 'no-store', credentials: 'same-origin', signal, ...init });
  const first = performance.now() - began;
  const { text, size, cut } = await read(res, limit);
  return { res, status: res.status, ok: res.ok, text, size, cut, first, ms: performance.now() - began, json: () => JSON.parse(text) };
}

async function read(res, limit) {
  const decoder = new TextDecoder();
  let text = '',
    size = 0;
  for (const reader = res.body?.getReader(); reader; ) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
    size += value.length;
    if (size > limit) {
      reader.cancel();
      return { text: text.slice(0, limit), size, cut: true };
    }
  }
  return { text, size, cut: false };
}

// reason is what an error reply says.
export function reason(reply) {
  try {
    return reply.json().message ?? reply.text;
  } catch {
    return reply.text || reply.res.statusText || `status ${reply.status}`;
  }
}

// send changes something through the admin API. Its result is the new state.
export async function send(method, path, body, token) {
  const headers = { 'Content-Type': 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  const init = { method, headers, body: typeof body === 'string' || body === undefined ? body : JSON.stringify(body) };
  const reply = await call(`ui/admin/${path}`, init).catch(() => {
    throw new Error('The server does not answer.');
  });
  if (!reply.ok) throw Object.assign(new Error(reason(reply)), { status: reply.status });
  return reply.json();
}

const slowest = 15e3; // ms between two attempts to connect
const silent = 10e3; // ms without a word until a server is lost, at least
const first = 120e3; // ms until the first word, which is a long one, has come over a slow network

// refusal is why the server sends no events, "" when it does not say. An
// EventSource is not told.
export async function refusal() {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), silent);
  try {
    const res = await fetch(address('ui/events'), { cache: 'no-store', signal: abort.signal });
    const { message = '' } = res.status === 503 ? await res.json() : {};
    return message === 'shutting down' ? '' : message;
  } catch {
    return '';
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

// Feed is the server's events, for as long as it is open. Besides the server's
// own it sends "up", and "down" with the number of attempts that failed in a
// row, and whether this one got as far as to be opened. EventSource would connect again by itself, but never after a proxy's
// 502, and would wait for ever for a server that hangs.
export class Feed extends EventTarget {
  #source;
  #timer; // until the next attempt, or until an open one is lost
  #failed = 0;
  #opened = false;
  #patience = silent;

  open() {
    this.close();
    const source = (this.#source = new EventSource(address('ui/events')));
    this.#opened = false;
    source.onopen = () => {
      this.#opened = true;
      this.#expect(first);
    };
    source.onerror = () => this.#lost();
    for (const name of ['history', 'sample', 'state']) {
      source.addEventListener(name, (e) => {
        const detail = JSON.parse(e.data);
        if (name === 'history') this.#patience = Math.max(3 * detail.interval, silent);
        this.#expect(this.#patience);
        this.dispatchEvent(new CustomEvent(name, { detail }));
      });
    }
    source.addEventListener('history', () => {
      this.#failed = 0;
      this.dispatchEvent(new Event('up'));
    });
    source.addEventListener('bye', () => this.#lost());
    this.#expect(silent);
  }

  close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = undefined;
  }

  #expect(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lost(), ms);
  }

  #lost() {
    this.close();
    const wait = Math.min(500 * 2 ** this.#failed++, slowest) * (1 + Math.random() / 4);
    this.#timer = setTimeout(() => this.open(), wait);
    this.dispatchEvent(new CustomEvent('down', { detail: { failed: this.#failed, opened: this.#opened } }));
  }
}
