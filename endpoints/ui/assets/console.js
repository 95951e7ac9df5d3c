// The WebSocket panel talks to ws/echo.

import { address } from './api.js';
import { announce, clock, field, html } from './dom.js';

const maxLines = 200;

class Console extends HTMLElement {
  show({ modules }) {
    const on = modules.some((m) => m.name === 'ws-echo' && m.state === 'on');
    if (on === this.on) return;
    this.on = on;
    if (!on) {
      this.socket?.close();
      this.replaceChildren(html('p', { class: 'note' }, 'The ws-echo module is off.'));
      return;
    }
    this.connect = html('button', { type: 'button', onclick: () => (this.socket ? this.socket.close(1000) : this.#open()) }, 'Connect');
    this.message = html('input', { value: 'hello', autocomplete: 'off' });
    this.sendButton = html('button', { disabled: true }, 'Send');
    this.log = html('div', { class: 'log', tabindex: 0, role: 'log', 'aria-live': 'off', 'aria-label': 'Messages' });
    this.replaceChildren(
      html(
        'form',
        {
          class: 'row',
          onsubmit: (e) => {
            e.preventDefault();
            this.#send();
          },
        },
        this.connect,
        field('Message', this.message),
        this.sendButton,
      ),
      this.log,
    );
  }

  #open() {
    const url = address('ws/echo');
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = (this.socket = new WebSocket(url));
    this.connect.textContent = 'Disconnect';
    socket.onopen = () => {
      this.sendButton.disabled = false;
      this.#write('note', `connected to ${url}`);
    };
    socket.onmessage = (e) => this.#write(/"server":/.test(e.data) ? 'status' : 'in', String(e.data).trim());
    socket.onclose = (e) => {
      this.socket = undefined;
      this.connect.textContent = 'Connect';
      this.sendButton.disabled = true;
      this.#write('note', `closed, code ${e.code}${e.reason ? ` ${e.reason}` : ''}`);
    };
  }

  #send() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.socket.send(this.message.value);
    this.#write('out', this.message.value);
    this.message.select();
  }

  // write adds a line to the log. Screen readers do not hear the status messages
  // that the server sends every few seconds.
  #write(kind, text) {
    const atBottom = this.log.scrollTop + this.log.clientHeight >= this.log.scrollHeight - 20;
    const from = { out: 'sent', in: 'received', status: 'status', note: 'connection' }[kind];
    this.log.append(
      html('p', { class: kind }, html('time', null, clock(Date.now())), html('span', { class: 'from' }, from), html('span', null, text)),
    );
    while (this.log.children.length > maxLines) this.log.firstElementChild.remove();
    if (atBottom) this.log.scrollTop = this.log.scrollHeight;
    if (kind === 'in' || kind === 'note') announce(text);
  }
}
customElements.define('pod-console', Console);
