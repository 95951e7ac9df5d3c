// The faults panel shows readiness, fault injection and the fault rules with their
// counters. With the admin API it can change them.

import { field, fill, html, moment, percent, pod, table, toggle } from './dom.js';
import { ruleForm } from './rule.js';

class Faults extends HTMLElement {
  show({ api, admin }) {
    this.api = api;
    const key = JSON.stringify(admin);
    if (key === this.key) return;
    this.key = key;
    const control = (name, path, field) => {
      const button = api && toggle(name, (on) => this.#send('PUT', path, { [field]: on }));
      const text = html('p');
      return { row: html('div', { class: 'control' }, html('h3', null, name), text, button), text, button };
    };
    this.ready = control('Readiness', 'readiness', 'on');
    this.injection = control('Fault injection', 'fault-injection', 'on');
    this.paused = control('Pause all rules', 'faults', 'paused');
    this.error = html('p', { class: 'refused', role: 'alert' });
    this.sourceLine = html('p', { class: 'lead' });
    this.empty = html('p', { class: 'note' });
    const heads = [['Rule'], ['Matched', 'figure'], ['Hit', 'figure'], ['Share', 'figure share'], ['Expires', 'expires']];
    if (api) heads.push([html('span', { class: 'unseen' }, 'Remove')]);
    this.table = table('Fault rules and their counters', heads);
    this.rows = this.table.querySelector('table');
    fill(
      this,
      this.sourceLine,
      api && admin.token && this.#tokenField(),
      html('div', { class: 'controls' }, this.ready.row, this.injection.row, this.paused.row),
      this.error,
      html(
        'div',
        { class: api && 'columns rules' },
        html('div', null, html('h3', null, 'Rules'), this.empty, this.table),
        api && this.#form(),
      ),
    );
    if (this.state) this.change(this.state);
  }

  #tokenField() {
    return html(
      'form',
      { onsubmit: (e) => e.preventDefault() },
      field(
        'Admin token',
        html('input', {
          type: 'password',
          autocomplete: 'off',
          spellcheck: 'false',
          oninput: (e) => {
            this.api.token = e.target.value;
          },
        }),
        'Required for changes. This page forgets it when you close it.',
      ),
    );
  }

  #form() {
    const save = (name, rule) => this.#send('PUT', `faults/rules/${encodeURIComponent(name)}`, rule);
    this.form = ruleForm(save, () => this.api.token);
    return this.form;
  }

  async #send(method, path, body) {
    this.error.textContent = '';
    this.error.dataset.tone = 'wait';
    try {
      this.error.textContent = await this.api.send(method, path, body);
      return true;
    } catch (e) {
      this.error.dataset.tone = 'bad';
      this.error.textContent = e.status === 401 ? `The admin token is missing or wrong: ${e.message}` : e.message;
      return false;
    }
  }

  change(state) {
    this.state = state;
    if (!this.rows) return;
    const { from, ready, why, draining, faultInjection = null, faults = null } = state; // of modules that are on
    this.sourceLine.textContent = `State of ${pod(from)}`;
    const show = (control, on, text, tone) => {
      const { button } = control;
      control.row.dataset.tone = tone;
      control.text.textContent = text;
      button?.set(on === true);
      if (button) button.hidden = on === null;
    };
    show(
      this.ready,
      ready,
      draining ? 'Draining: the server is shutting down' : ready ? 'Ready' : `Not ready${why ? `: ${why}` : ''}`,
      ready ? 'good' : 'bad',
    );
    show(
      this.injection,
      faultInjection,
      faultInjection === null ? 'The fault-injection module is off' : faultInjection ? 'On: every request fails with 500' : 'Off',
      faultInjection ? 'bad' : 'still',
    );
    show(
      this.paused,
      faults && faults.paused,
      !faults ? 'The faults module is off' : faults.paused ? 'Paused: no rule applies' : 'Not paused',
      faults?.paused ? 'wait' : 'still',
    );

    const rules = faults?.rules ?? [];
    this.empty.hidden = rules.length > 0;
    this.table.hidden = rules.length === 0;
    this.empty.replaceChildren(
      ...(faults
        ? ['No rules.']
        : ['To use rules, start podinfo with ', html('code', null, 'PODINFO_FAULTS_ENABLED=true'), ' and a scenario.']),
    );
    if (this.form) this.form.hidden = !faults;
    this.#list(rules);
  }

  // list updates the rows in place, which keeps the focus and open details. Each
  // rule is a tbody: a row with its counters, and below it one with its definition.
  #list(rules) {
    const old = new Map([...this.rows.tBodies].map((body) => [body.dataset.rule, body]));
    for (const { name } of rules) old.delete(name);
    for (const body of old.values()) body.remove();
    rules.forEach((r, i) => {
      const bodies = [...this.rows.tBodies];
      const body = bodies.find((b) => b.dataset.rule === r.name) ?? this.#row(r.name);
      if (bodies[i] !== body) this.rows.insertBefore(body, bodies[i] ?? null);
      body.show(r);
    });
  }

  #row(name) {
    const definition = html('pre', { tabindex: 0 });
    const details = html('tr', { class: 'definition', hidden: true }, html('td', { colspan: this.api ? 6 : 5 }, definition));
    const fold = html('details', { ontoggle: () => (details.hidden = !fold.open) }, html('summary', null, name));
    const [seen, hits, share] = ['', '', ' share'].map((name) => html('td', { class: `figure${name}` }));
    const expires = html('td', { class: 'expires' });
    const remove =
      this.api &&
      html(
        'td',
        { class: 'figure' },
        html(
          'button',
          {
            type: 'button',
            'aria-label': `Remove rule ${name}`,
            onclick: () => this.#send('DELETE', `faults/rules/${encodeURIComponent(name)}`),
          },
          'Remove',
        ),
      );
    const row = html(
      'tbody',
      { 'data-rule': name },
      html('tr', null, html('th', { scope: 'row' }, fold), seen, hits, share, expires, remove),
      details,
    );
    row.show = (r) => {
      const text = JSON.stringify(r.rule, null, 2);
      if (definition.textContent !== text) definition.textContent = text;
      seen.textContent = r.seen.toLocaleString('en');
      hits.textContent = r.hits.toLocaleString('en');
      share.textContent = r.seen ? percent(r.hits / r.seen) : '–';
      expires.textContent = r.ended ? 'ended' : r.expires ? moment(r.expires) : 'never';
    };
    return row;
  }
}
customElements.define('pod-faults', Faults);
