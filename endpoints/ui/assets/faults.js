// Readiness, fault injection and the rules of faults: what they are, what they
// have done, and, with the admin API, how to turn them.

import { field, fill, html, moment, percent, pod, table, toggle } from './dom.js';

const example = '{"match": {"path": "/api/*"}, "delay": {"p50": "80ms", "p99": "1s"}, "fault": {"status": 503}}';

class Faults extends HTMLElement {
  show({ api, admin }) {
    this.api = api;
    const kind = JSON.stringify(admin);
    if (kind === this.kind) return;
    this.kind = kind;
    const control = (name, path, key) => {
      const flip = api && toggle(name, (on) => this.#send('PUT', path, { [key]: on }));
      const says = html('p');
      return { row: html('div', { class: 'control' }, html('h3', null, name), says, flip), says, flip };
    };
    this.ready = control('Readiness', 'readiness', 'on');
    this.injection = control('Fault injection', 'fault-injection', 'on');
    this.paused = control('Pause all rules', 'faults', 'paused');
    this.refused = html('p', { class: 'refused', role: 'alert' });
    this.whose = html('p', { class: 'lead' });
    this.empty = html('p', { class: 'note' });
    const heads = [['Rule'], ['Matched', 'figure'], ['Hit', 'figure'], ['Share', 'figure share'], ['Until', 'until']];
    if (api) heads.push([html('span', { class: 'unseen' }, 'Remove')]);
    this.table = table('Rules of faults and what they have done', heads);
    this.rows = this.table.querySelector('table');
    fill(
      this,
      this.whose,
      api && admin.token && this.#tokenField(),
      html('div', { class: 'controls' }, this.ready.row, this.injection.row, this.paused.row),
      this.refused,
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
        'Changes need it. It is kept in this page only, until it is closed.',
      ),
    );
  }

  #form() {
    const name = html('input', {
      required: true,
      pattern: '[A-Za-z0-9_.\\-]+',
      spellcheck: 'false',
      autocomplete: 'off',
      placeholder: 'slow-api',
    });
    const rule = html('textarea', { required: true, rows: 4, spellcheck: 'false' }, example);
    const add = async (e) => {
      e.preventDefault();
      if (await this.#send('PUT', `faults/rules/${encodeURIComponent(name.value)}`, rule.value)) name.value = '';
    };
    this.form = html(
      'form',
      { class: 'add', onsubmit: add },
      html('h3', null, 'Add or replace a rule'),
      field('Name', name),
      field('Rule', rule, 'YAML or JSON'),
      html('button', null, 'Save rule'),
    );
    return this.form;
  }

  async #send(method, path, body) {
    this.refused.textContent = '';
    this.refused.dataset.tone = 'wait';
    try {
      this.refused.textContent = await this.api.send(method, path, body);
      return true;
    } catch (e) {
      this.refused.dataset.tone = 'bad';
      this.refused.textContent = e.status === 401 ? `The admin token is missing or wrong: ${e.message}` : e.message;
      return false;
    }
  }

  change(state) {
    this.state = state;
    if (!this.rows) return;
    const { from, ready, why, draining, faultInjection, faults } = state;
    this.whose.textContent = `The state of ${pod(from)}.`;
    const show = ({ row, says, flip }, on, text, tone) => {
      row.dataset.tone = tone;
      says.textContent = text;
      flip?.set(on === true);
      if (flip) flip.hidden = on === null;
    };
    show(
      this.ready,
      ready,
      draining ? 'Draining: the process is about to end' : ready ? 'Ready' : `Not ready${why ? `: ${why}` : ''}`,
      ready ? 'good' : 'bad',
    );
    show(
      this.injection,
      faultInjection,
      faultInjection === null ? 'The module fault-injection is off' : faultInjection ? 'On: every request fails with 500' : 'Off',
      faultInjection ? 'bad' : 'still',
    );
    show(
      this.paused,
      faults && faults.paused,
      !faults ? 'The module faults is off' : faults.paused ? 'Paused: no rule hits' : 'Not paused',
      faults?.paused ? 'wait' : 'still',
    );

    const rules = faults?.rules ?? [];
    this.empty.hidden = rules.length > 0;
    this.table.hidden = rules.length === 0;
    this.empty.replaceChildren(
      ...(faults
        ? ['No rules.']
        : ['Rules need the module faults: start podinfo with ', html('code', null, 'PODINFO_FAULTS_ENABLED=true'), ' and a scenario.']),
    );
    if (this.form) this.form.hidden = !faults;
    this.#list(rules);
  }

  // list updates the rows in place, to leave the focus and what is open alone.
  // A rule is a tbody: its figures, and below them, what it says.
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
    const says = html('pre', { tabindex: 0 });
    const inside = html('tr', { class: 'says', hidden: true }, html('td', { colspan: this.api ? 6 : 5 }, says));
    const fold = html('details', { ontoggle: () => (inside.hidden = !fold.open) }, html('summary', null, name));
    const [seen, hits, share] = ['', '', ' share'].map((kind) => html('td', { class: `figure${kind}` }));
    const until = html('td', { class: 'until' });
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
      html('tr', null, html('th', { scope: 'row' }, fold), seen, hits, share, until, remove),
      inside,
    );
    row.show = (r) => {
      const text = JSON.stringify(r.rule, null, 2);
      if (says.textContent !== text) says.textContent = text;
      seen.textContent = r.seen.toLocaleString('en');
      hits.textContent = r.hits.toLocaleString('en');
      share.textContent = r.seen ? percent(r.hits / r.seen) : '–';
      until.textContent = r.expires ? moment(r.expires) : 'stays';
    };
    return row;
  }
}
customElements.define('pod-faults', Faults);
