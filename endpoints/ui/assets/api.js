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
export const send = (method, path, body, token) => ask(method, `ui/admin/${path}`, body, token);

// post lets the server do something that changes nothing in it.
export const post = (path, body, token, signal) => ask('POST', path, body, token, signal);

async function ask(method, path, body, token, signal) {
  const headers = { 'Content-Type': 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  const init = { method, headers, signal, body: typeof body === 'string' || body === undefined ? body : JSON.stringify(body) };
  const reply = await call(path, init).catch((e) => {
    if (e.name === 'AbortError') throw e;
    throw new Error('The server is not responding.');
  });
  if (!reply.ok) throw Object.assign(new Error(reason(reply)), { status: reply.status });
  return reply.json();
}

const minSilence = 10e3; // ms to wait for the server's reason

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
