// Requests to the server. All addresses are relative to the document's base, which
// includes the prefixes of the server and of proxies.

export const address = (path) => new URL(path.replace(/^\/+/, ''), document.baseURI);

// call sends a request and reads at most limit bytes of the response. It returns a
// response of any status, and throws only when there is no response.
export async function call(path, { limit = 1 << 20, signal, ...init } = {}) {
  const began = performance.now();
  const res = await fetch(address(path), { cache: 'no-store', credentials: 'same-origin', signal, ...init });
  const first = performance.now() - began;
  const { text, size, truncated } = await read(res, limit);
  return { res, status: res.status, ok: res.ok, text, size, truncated, first, ms: performance.now() - began, json: () => JSON.parse(text) };
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
      return { text: text.slice(0, limit), size, truncated: true };
    }
  }
  return { text, size, truncated: false };
}

// reason returns the message of an error response.
export function reason(reply) {
  try {
    return reply.json().message ?? reply.text;
  } catch {
    return reply.text || reply.res.statusText || `status ${reply.status}`;
  }
}

// send changes the server through the admin API and returns the new state.
export async function send(method, path, body, token) {
  const headers = { 'Content-Type': 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  const init = { method, headers, body: typeof body === 'string' || body === undefined ? body : JSON.stringify(body) };
  const reply = await call(`ui/admin/${path}`, init).catch(() => {
    throw new Error('The server is not responding.');
  });
  if (!reply.ok) throw Object.assign(new Error(reason(reply)), { status: reply.status });
  return reply.json();
}

const maxBackoff = 15e3; // ms between attempts to connect
const minSilence = 10e3; // ms without an event until the connection counts as lost, at least
const firstEvent = 120e3; // ms for the first event, which is long, to arrive over a slow network

// refusal returns the server's reason for sending no events, or '' when it gives
// none. EventSource does not expose it.
export async function refusal() {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), minSilence);
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

// Feed forwards the server's events while it is open. It adds the event "up" and
// the event "down", with the number of consecutive failures and whether the
// connection had been opened. EventSource reconnects by itself, but not after a
// proxy's 502, and it waits for ever for a server that hangs.
export class Feed extends EventTarget {
  #source;
  #timer; // until the next attempt, or until an open connection counts as lost
  #failed = 0; // consecutive failures
  #opened = false;
  #silence = minSilence;

  open() {
    this.close();
    const source = (this.#source = new EventSource(address('ui/events')));
    this.#opened = false;
    source.onopen = () => {
      this.#opened = true;
      this.#awaitEvent(firstEvent);
    };
    source.onerror = () => this.#lost();
    for (const name of ['history', 'sample', 'state']) {
      source.addEventListener(name, (e) => {
        const detail = JSON.parse(e.data);
        if (name === 'history') this.#silence = Math.max(3 * detail.interval, minSilence);
        this.#awaitEvent(this.#silence);
        this.dispatchEvent(new CustomEvent(name, { detail }));
      });
    }
    source.addEventListener('history', () => {
      this.#failed = 0;
      this.dispatchEvent(new Event('up'));
    });
    source.addEventListener('bye', () => this.#lost());
    this.#awaitEvent(minSilence);
  }

  close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = undefined;
  }

  // awaitEvent treats the connection as lost unless an event arrives within ms.
  #awaitEvent(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lost(), ms);
  }

  #lost() {
    this.close();
    const wait = Math.min(500 * 2 ** this.#failed++, maxBackoff) * (1 + Math.random() / 4);
    this.#timer = setTimeout(() => this.open(), wait);
    this.dispatchEvent(new CustomEvent('down', { detail: { failed: this.#failed, opened: this.#opened } }));
  }
}
