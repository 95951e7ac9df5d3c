// Who answers: the logo, colour and message that were chosen, and a ping.

import { call, reason } from './api.js';
import { announce, html, seconds } from './dom.js';

const fallback = '#34577c'; // for a colour that the browser does not know
const steady = 5; // answers in a row before the greeting follows a new version

// rgb is a CSS colour's parts, 0 to 255, as the browser reads it.
function rgb(color) {
  const probe = html('span', { hidden: true });
  probe.style.color = fallback;
  probe.style.color = color;
  document.body.append(probe);
  const parts = getComputedStyle(probe)
    .color.match(/[\d.]+/g)
    .map(Number);
  probe.remove();
  return parts.length === 4 && parts[3] === 0 ? rgb(fallback) : parts.slice(0, 3);
}

// luminance is WCAG 2's relative luminance, 0 to 1.
function luminance(parts) {
  const [r, g, b] = parts.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// echoed says who sent body back: the server, or its backends, which may have
// backends of their own and put the echo in quotes.
function echoed(reply, body) {
  if (reply.text === body) return 'Echoed';
  const backends = reply.json(),
    failed = backends.filter((b) => !b.includes(body));
  const all = backends.length === 1 ? '1 backend' : `${backends.length} backends`;
  return failed.length ? `${failed.length} of ${all} failed (${failed[0].slice(0, 200)})` : `Echoed by ${all}`;
}

class Greeting extends HTMLElement {
  #run = { key: '', length: 0 };

  show({ about }) {
    this.about = about;
    const own = document.querySelector('.brand img').src;
    const logo = html('img', { src: about.logo || own, alt: 'logo', width: 112, height: 112 });
    logo.addEventListener(
      'error',
      () => {
        logo.src = own;
      },
      { once: true },
    );
    this.message = html('h1');
    this.facts = html('dl', { class: 'facts' });
    this.result = html('p', { class: 'result' }, 'Echo through the backends');
    this.replaceChildren(
      logo,
      html('div', { class: 'words' }, this.message, this.facts),
      html('div', { class: 'ping' }, html('button', { type: 'button', onclick: () => this.#ping() }, 'Ping'), this.result),
    );
    this.#draw(about);
  }

  #draw(who) {
    const parts = rgb(who.color);
    this.style.backgroundColor = `rgb(${parts})`;
    this.style.color = luminance(parts) > 0.179 ? '#000' : '#fff'; // where both have the same contrast
    this.message.textContent = who.message ?? '';
    this.facts.replaceChildren(
      ...Object.entries({ version: who.version, host: who.hostname, revision: who.revision }).map(([name, value]) =>
        html('div', null, html('dt', null, name), html('dd', null, value)),
      ),
    );
    document.title = who.hostname;
    this.shown = this.#key(who);
  }

  #key = (who) => JSON.stringify([who.version, who.color, who.message]);

  // answer follows a roll-out once it is steady. With half of the answers from
  // each version it would flicker.
  answer({ about }) {
    if (!about || !this.about) return;
    const key = this.#key(about);
    this.#run = key === this.#run.key ? { key, length: this.#run.length + 1 } : { key, length: 1 };
    if (key !== this.shown && this.#run.length >= steady) this.#draw(about);
  }

  async #ping() {
    if (this.busy) return; // not disabled, which would lose the focus
    this.busy = true;
    let said;
    try {
      const body = `ping ${new Date().toISOString()}`;
      const reply = await call('api/echo', { method: 'POST', body, headers: { 'Content-Type': 'text/plain' } });
      const took = seconds(reply.ms / 1e3);
      if (!reply.ok) said = `${reply.status} after ${took}: ${reason(reply)}`;
      else said = `${echoed(reply, body)} in ${took}`;
    } catch {
      said = 'No answer';
    }
    this.result.textContent = said;
    announce(said);
    this.busy = false;
  }
}
customElements.define('pod-greeting', Greeting);
