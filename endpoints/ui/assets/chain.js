// The chain panel shows the modules in the order in which a request passes through
// them, and the path of a request to the selected route.

import { field, fill, html, pod, svg, toggle } from './dom.js';

const lane = 14, // x of the line through a module
  detour = 34; // x of the line past a module

class Chain extends HTMLElement {
  // show builds the panel only when the set of modules changes. Rebuilding it would
  // take the focus from the switch that was pressed.
  show(model) {
    this.model = model;
    this.routes = model.routes.filter((r) => r.module !== 'ui');
    this.states = Object.fromEntries(model.modules.map((m) => [m.name, m.state]));
    const key = JSON.stringify([model.admin, model.modules.map((m) => ({ ...m, state: '', why: '' }))]);
    if (key !== this.key) this.#build(model);
    this.key = key;
    this.#listRoutes();
    for (const m of model.modules)
      this.rows.get(m.name).reason.textContent = `Decided by: ${m.why}${model.api && m.fixed ? `. Cannot be switched here: ${m.fixed}` : ''}`;
    this.sourceLine.textContent = `Modules of ${pod(model.about)}`;
    this.change({ from: model.about, modules: {} });
  }

  #build(model) {
    this.select = html('select', { onchange: () => this.#draw() });
    this.rows = new Map(model.modules.map((m) => [m.name, this.#module(m)]));
    const part = (middleware) => model.modules.filter((m) => !!m.phase === middleware).map((m) => this.rows.get(m.name).row);
    this.path = svg('svg', { class: 'path', 'aria-hidden': 'true' });
    this.end = html('p', { class: 'end' });
    this.list = html('ol', { class: 'modules' }, part(true));
    this.middleware = html('div', { class: 'middleware' }, this.path, html('p', { class: 'start' }, 'request'), this.list, this.end);
    this.summary = html('p', { class: 'lead' });
    this.sourceLine = html('p', { class: 'lead' });
    fill(
      this,
      html('div', { class: 'tools' }, this.summary, this.sourceLine, field('Route', this.select)),
      html(
        'div',
        { class: 'columns chain' },
        html('div', null, html('h3', null, 'Middleware, in order'), this.middleware),
        html('div', null, html('h3', null, 'Endpoints and services'), html('ul', { class: 'modules' }, part(false))),
      ),
      !model.api &&
        html(
          'p',
          { class: 'note' },
          'Read-only. To switch modules, readiness and faults from here, start podinfo with ',
          html('code', null, 'PODINFO_UI_ADMIN=true'),
          '.',
        ),
      model.api &&
        !model.admin.token &&
        html(
          'p',
          { class: 'note' },
          'Guards can be switched only when ',
          html('code', null, 'PODINFO_UI_ADMIN_TOKEN'),
          ' is set. Without a token, any client that a guard rejects could switch it off.',
        ),
    );
    this.observer?.disconnect();
    this.observer = new ResizeObserver(() => this.#drawPath());
    this.observer.observe(this.middleware);
  }

  // listRoutes fills the select with the current routes and keeps the selection.
  #listRoutes() {
    const selected = this.select.selectedOptions[0]?.text ?? 'GET /version';
    fill(
      this.select,
      [...Map.groupBy(this.routes, (r) => r.module)].map(([module, list]) =>
        html(
          'optgroup',
          { label: module },
          list.map((r) => html('option', { value: this.routes.indexOf(r) }, `${r.method || 'any'} ${r.path}`)),
        ),
      ),
    );
    const same = [...this.select.options].find((o) => o.text === selected);
    this.select.value = same?.value ?? 0;
  }

  #module(m) {
    const badge = html('span', { class: 'badge' }),
      reason = html('p');
    const button = this.model.api && m.switchable && toggle(`Module ${m.name}`, (on) => this.#switch(m.name, on));
    const settings =
      m.settings.length > 0 &&
      html(
        'dl',
        { class: 'settings' },
        m.settings.map((s) =>
          html(
            'div',
            null,
            html('dt', null, html('code', null, s.key)),
            html(
              'dd',
              null,
              html('code', null, s.value === '' ? '""' : s.value),
              s.source && html('span', { class: 'source' }, ` from ${s.source}`),
              html('br'),
              s.doc,
            ),
          ),
        ),
      );
    const details = html(
      'details',
      null,
      html(
        'summary',
        null,
        html('span', { class: 'name' }, m.name),
        m.phase && html('span', { class: 'phase' }, m.phase),
        badge,
        html('span', { class: 'doc' }, m.doc),
      ),
      html('div', { class: 'inside' }, reason, settings),
    );
    return { row: html('li', null, details, button), badge, reason, button };
  }

  async #switch(name, on) {
    this.querySelector('.refused')?.remove();
    const show = (tone, text) => this.rows.get(name).row.append(html('p', { class: 'refused', 'data-tone': tone, role: 'alert' }, text));
    try {
      const elsewhere = await this.model.api.send('PUT', `modules/${encodeURIComponent(name)}`, { on });
      if (elsewhere) show('wait', elsewhere);
    } catch (e) {
      show('bad', e.message);
    }
  }

  change({ from, modules }) {
    if (from.id !== this.model?.about.id) return;
    Object.assign(this.states, modules);
    for (const [name, { row, badge, button }] of this.rows) {
      const state = this.states[name];
      badge.textContent = row.dataset.state = state;
      if (button) button.set(state === 'on');
    }
    this.#draw();
  }

  #draw() {
    const route = this.routes[this.select.value];
    const passed = new Set(route.chain);
    for (const [name, { row }] of this.rows) {
      row.classList.toggle('passed', passed.has(name));
      row.classList.toggle('target', name === route.module);
    }
    const chain = route.chain.length ? route.chain.join(', ') : 'no middleware';
    this.summary.textContent = `${route.method || 'Any method'} ${route.path} passes through ${chain} and ends in ${route.module}.`;
    this.end.textContent = `${route.module}: ${route.summary || route.path}`;
    this.#drawPath();
  }

  #drawPath() {
    const box = this.middleware.getBoundingClientRect();
    const middle = (el) => {
      const r = el.getBoundingClientRect();
      return r.top - box.top + Math.min(r.height / 2, 18);
    };
    const stops = [...this.list.children].map((row) => ({ y: middle(row), passed: row.classList.contains('passed') }));
    const from = middle(this.middleware.querySelector('.start')),
      to = middle(this.end);
    let d = `M${lane} ${from}`;
    for (const { y, passed } of stops)
      d += passed ? `V${y}` : `V${y - 16}C${lane} ${y - 8} ${detour} ${y - 10} ${detour} ${y}S${lane} ${y + 8} ${lane} ${y + 16}`;
    d += `V${to}`;
    this.path.replaceChildren(
      svg('path', { class: 'rail', d }),
      ...stops.map(({ y, passed }) => svg('circle', { cx: lane, cy: y, r: passed ? 6 : 4, class: passed ? 'on' : 'off' })),
      svg('circle', { cx: lane, cy: from, r: 4, class: 'on' }),
      svg('path', { class: 'tip', d: `M${lane - 6} ${to - 8}l6 8 6 -8` }),
    );
    this.path.setAttribute('height', box.height);
  }
}
customElements.define('pod-chain', Chain);
