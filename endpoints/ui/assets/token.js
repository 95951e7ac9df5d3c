// The token panel gets a token and validates it.

import { call, reason } from './api.js';
import { announce, field, html, moment } from './dom.js';

class Token extends HTMLElement {
  show({ modules }) {
    const on = modules.some((m) => m.name === 'token' && m.state === 'on');
    if (on === this.on) return;
    this.on = on;
    if (!on) {
      this.replaceChildren(html('p', { class: 'note' }, 'The token module is off.'));
      return;
    }
    this.name = html('input', { value: '', autocomplete: 'off', placeholder: 'anonymous' });
    this.token = html('textarea', { rows: 3, spellcheck: 'false', autocomplete: 'off' });
    this.claims = html('pre', { tabindex: 0, hidden: true, role: 'group', 'aria-label': 'Token claims' });
    this.result = html('p', { class: 'status' });
    this.token.addEventListener('input', () => this.#decode());
    this.replaceChildren(
      html(
        'form',
        {
          class: 'row',
          onsubmit: (e) => {
            e.preventDefault();
            this.#get();
          },
        },
        field('Name', this.name),
        html('button', null, 'Get a token'),
      ),
      html(
        'form',
        {
          onsubmit: (e) => {
            e.preventDefault();
            this.#validate();
          },
        },
        field('Token', this.token),
        this.claims,
        html('button', null, 'Validate'),
      ),
      this.result,
    );
  }

  // request sends a request and shows describe(response) or the error.
  async #request(path, init, describe) {
    let tone = 'bad',
      result;
    try {
      const reply = await call(path, init);
      if (reply.ok) {
        tone = 'good';
        result = describe(reply.json());
      } else result = `${reply.status}: ${reason(reply)}`;
    } catch {
      result = 'No response';
    }
    this.result.dataset.tone = tone;
    this.result.textContent = result;
    announce(result);
  }

  #get() {
    return this.#request('token', { method: 'POST', body: this.name.value, headers: { 'Content-Type': 'text/plain' } }, (r) => {
      this.token.value = r.token;
      this.#decode();
      return `Issued, valid until ${moment(r.expires_at)}`;
    });
  }

  #validate() {
    return this.#request(
      'token/validate',
      { headers: { Authorization: `Bearer ${this.token.value.trim()}` } },
      (r) => `Valid: ${r.token_name}, until ${moment(r.expires_at)}`,
    );
  }

  // decode shows the token's claims, whether or not its signature is valid.
  #decode() {
    try {
      const part = this.token.value.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
      const raw = Uint8Array.from(atob(part), (c) => c.charCodeAt(0));
      this.claims.textContent = JSON.stringify(JSON.parse(new TextDecoder().decode(raw)), null, 2);
      this.claims.hidden = false;
    } catch {
      this.claims.hidden = true;
    }
  }
}
customElements.define('pod-token', Token);
