// The page: loads the model, follows the server's events and hands both to the
// panels. A panel is a custom element with any of the methods show(model),
// change(state), sample(samples), interval(ms), answer(answer) and watch(on),
// which says whether anybody looks.

import { call, Feed, send } from './api.js';
import { html } from './dom.js';
import './greeting.js';
import './answers.js';
import './live.js';
import './chain.js';
import './faults.js';
import './try.js';
import './token.js';
import './console.js';

const kept = 15 * 60e3; // ms of samples
const $ = (id) => document.getElementById(id);
const panels = [...document.querySelectorAll('main *')].filter((el) => el.localName.startsWith('pod-'));
const tell = (method, ...args) => panels.forEach((panel) => panel[method]?.(...args));

const feed = new Feed();
let model,
  modules,
  samples = [],
  stale = false;

// admin changes something and shows the state that comes of it. Panels get it
// with the model; it is undefined where there is no admin API.
const admin = {
  token: '',
  async send(method, path, body) {
    change(await send(method, path, body, admin.token));
  },
};

// load shows the model, if it is another one. After a failure the feed's next
// event tries again.
async function load() {
  const reply = await call('ui/model').catch(() => undefined);
  stale = !reply?.ok;
  if (stale || reply.text === model) return;
  model = reply.text;
  const m = reply.json();
  m.api = m.admin.enabled ? admin : undefined;
  $('build').textContent =
    `podinfo ${m.about.version}, revision ${m.about.revision}, ${m.about.runtime} on ${m.about.goos}/${m.about.goarch}`;
  for (const a of document.querySelectorAll('footer [data-module]'))
    a.hidden = m.modules.find((x) => x.name === a.dataset.module)?.state !== 'on';
  tell('show', m);
}

// change shows a new state. Where a module was switched, routes have another
// chain.
function change(state) {
  tell('change', state);
  const now = JSON.stringify(state.modules);
  if (modules && now !== modules) load();
  modules = now;
}

function connection(tone, text, banner) {
  $('connection').dataset.tone = tone;
  $('connection').lastElementChild.textContent = text;
  if (banner !== $('banner').textContent) $('banner').textContent = banner ?? '';
  $('banner').hidden = !banner;
}

feed.addEventListener('up', () => {
  connection('good', 'live');
  load();
});
feed.addEventListener('down', ({ detail: failed }) => {
  if (stale) load();
  if (failed === 1)
    connection('wait', 'connecting'); // to another replica, maybe
  else connection('bad', 'no connection', 'The server does not answer. This page keeps trying; what it shows is the last it heard.');
});
feed.addEventListener('history', ({ detail }) => {
  samples = detail.samples;
  tell('interval', detail.interval);
  tell('sample', samples);
});
feed.addEventListener('sample', ({ detail }) => {
  samples = [...samples.filter((s) => s.t > detail.t - kept), detail];
  tell('sample', samples);
  if (stale) load();
});
feed.addEventListener('state', ({ detail }) => change(detail));
document.addEventListener('answer', ({ detail }) => tell('answer', detail));

function visible() {
  if (document.hidden) feed.close();
  else feed.open();
  tell('watch', !document.hidden);
}
document.addEventListener('visibilitychange', visible);
addEventListener('pagehide', () => feed.close());
addEventListener('pageshow', (e) => e.persisted && visible());

for (const section of document.querySelectorAll('section[id]')) {
  // Not a plain fragment: it would be relative to the base, not to the page.
  const go = (e) => {
    e.preventDefault();
    section.scrollIntoView();
    section.querySelector('h2').focus({ preventScroll: true });
  };
  section.querySelector('h2').tabIndex = -1;
  document
    .querySelector('.bar nav')
    .append(
      html('a', { href: `${location.pathname}${location.search}#${section.id}`, onclick: go }, section.querySelector('h2').textContent),
    );
}
const skip = document.querySelector('.skip');
skip.href = `${location.pathname}${location.search}#answers`;

const dark = matchMedia('(prefers-color-scheme: dark)');
const theme = () => document.documentElement.dataset.theme ?? (dark.matches ? 'dark' : 'light');
function label() {
  $('theme').textContent = theme() === 'dark' ? 'Light' : 'Dark';
  $('theme').ariaLabel = `${$('theme').textContent} theme`;
}
$('theme').addEventListener('click', () => {
  document.documentElement.dataset.theme = theme() === 'dark' ? 'light' : 'dark';
  try {
    localStorage.setItem('podinfo-theme', theme());
  } catch {
    /* good for this visit only */
  }
  label();
});
dark.addEventListener('change', label);
label();

load();
visible();
