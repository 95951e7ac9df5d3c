// The greeting shows the configured logo, colour and message, the version and host
// that respond, and a ping.

import { call, reason } from './api.js';
import { luminance, rgb } from './colors.js';
import { announce, html, seconds } from './dom.js';

const streak = 5; // consecutive responses before the greeting follows a new version

// echoed says whether the server or its backends sent body back. Backends may have
// backends themselves, and then return the echo inside a JSON string.
function echoed(reply, body) {
  if (reply.text === body) return 'Echoed';
  const backends = reply.json(),
    failed = backends.filter((b) => !b.includes(body));
  const all = backends.length === 1 ? '1 backend' : `${backends.length} backends`;
  return failed.length ? `${failed.length} of ${all} failed (${failed[0].slice(0, 200)})` : `Echoed by ${all}`;
}

class Greeting extends HTMLElement {
  #latest = { key: '', count: 0 }; // the latest responses that are alike

  show({ about, modules }) {
    this.about = about;
    const backends = modules.some((m) => m.settings.some((s) => s.key === 'PODINFO_BACKEND_URL' && s.value));
    const builtin = document.querySelector('.brand img').src;
    const logo = html('img', { src: about.logo || builtin, alt: 'logo', width: 112, height: 112 });
    logo.addEventListener(
      'error',
      () => {
        logo.src = builtin;
      },
      { once: true },
    );
    this.message = html('h1');
    this.facts = html('dl', { class: 'facts' });
    this.result = html('p', { class: 'result' }, backends ? 'Echo through the backends' : '');
    this.replaceChildren(
      logo,
      html('div', { class: 'words' }, this.message, this.facts),
      html('div', { class: 'ping' }, html('button', { type: 'button', onclick: () => this.#ping() }, 'Ping'), this.result),
    );
    this.#draw(about);
  }

  #draw(about) {
    const parts = rgb(about.color);
    this.style.backgroundColor = `rgb(${parts})`;
    this.style.color = luminance(parts) > 0.179 ? '#000' : '#fff'; // at 0.179 black and white have the same contrast
    this.message.textContent = about.message ?? '';
    this.message.title = about.message ?? ''; // long messages are clamped
    this.facts.replaceChildren(
      ...Object.entries({ version: about.version, host: about.hostname, revision: about.revision }).map(([name, value]) =>
        html('div', null, html('dt', null, name), html('dd', null, value)),
      ),
    );
    document.title = about.hostname;
    this.shown = this.#key(about);
  }

  #key = (about) => JSON.stringify([about.version, about.color, about.message]);

  // response follows a rollout after a streak of alike responses. Otherwise the
  // greeting would flicker while two versions respond in turn.
  response({ about }) {
    if (!about || !this.about) return;
    const key = this.#key(about);
    this.#latest = { key, count: key === this.#latest.key ? this.#latest.count + 1 : 1 };
    if (key !== this.shown && this.#latest.count >= streak) this.#draw(about);
  }

  async #ping() {
    if (this.busy) return; // disabling the button would lose the focus
    this.busy = true;
    let result;
    try {
      const body = `ping ${new Date().toISOString()}`;
      const reply = await call('api/echo', { method: 'POST', body, headers: { 'Content-Type': 'text/plain' } });
      const took = seconds(reply.ms / 1e3);
      if (!reply.ok) result = `${reply.status} after ${took}: ${reason(reply)}`;
      else result = `${echoed(reply, body)} in ${took}`;
    } catch {
      result = 'No response';
    }
    this.result.textContent = result;
    announce(result);
    this.busy = false;
  }
}
customElements.define('pod-greeting', Greeting);
