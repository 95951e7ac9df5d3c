// Calls of gRPC methods. A browser does not speak gRPC, so the server calls the
// method: the call passes the chain like any other.

import { address, post } from './api.js';
import { fill, html } from './dom.js';

const quote = (s) => `'${s.replaceAll("'", `'\\''`)}'`;

// grpcurl returns a call as a shell command.
export function grpcurl({ method, metadata, message }, { tls, port }) {
  const words = ['grpcurl', !tls && '-plaintext'].filter(Boolean);
  for (const [name, value] of metadata) words.push(`-H ${quote(`${name}: ${value}`)}`);
  return [...words, `-d ${quote(message)}`, `${address('').hostname}:${port}`, method.slice(1)].join(' ');
}

// invoke calls a method and returns the reply. It throws when the call could not be
// made.
export async function invoke({ method, metadata, message }, token, signal) {
  let parsed;
  try {
    parsed = JSON.parse(message || '{}');
  } catch (e) {
    throw new Error(`The message is no JSON: ${e.message}`);
  }
  return post('ui/rpc', { method, metadata: Object.fromEntries(metadata), message: parsed }, token, signal);
}

// showReply fills el with a reply.
export function showReply(el, reply, took) {
  const text = reply.responses.map((r) => JSON.stringify(r, null, 2)).join('\n');
  const lines = (list) => (list ?? []).join('\n') || '(empty)';
  fill(
    el,
    html(
      'p',
      { class: 'status', 'data-tone': reply.code === 'OK' ? 'good' : 'bad' },
      html('b', null, reply.code),
      `${reply.message && ` ${reply.message}`} in ${took}${reply.truncated ? ', truncated' : ''}`,
    ),
    html('h4', null, 'Header'),
    html('pre', { tabindex: 0 }, lines(reply.header)),
    html('h4', null, 'Response'),
    html('pre', { class: 'body', tabindex: 0 }, text || '(empty)'),
    html('h4', null, 'Trailer'),
    html('pre', { tabindex: 0 }, lines(reply.trailer)),
  );
}
