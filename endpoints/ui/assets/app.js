// The page: loads the model, follows the server's events and hands both to the
// panels. A panel is a custom element with any of the methods show(model),
// change(state), source(history), sample(samples), answer(answer) and
// watch(on), which says whether anybody looks.
//
// At the page's address several servers may answer. The events are of one; the
// model is asked for until it is of the same one; a change reaches any.

import { call, Feed, refusal, send } from './api.js';
import { html, pod } from './dom.js';
import './greeting.js';
import './answers.js';
import './live.js';
import './chain.js';
import './faults.js';
import './try.js';
import './token.js';
import './console.js';

const kept = 15 * 60e3; // ms of samples
const most = 12; // attempts to get the model of the server that sends the events
const $ = (id) => document.getElementById(id);
const panels = [...document.querySelectorAll('main *')].filter((el) => el.localName.startsWith('pod-'));
const tell = (method, ...args) => panels.forEach((panel) => panel[method]?.(...args));

const feed = new Feed();
let from, // the instance that sends the events
  loading,
  model,
  modules,
  samples = [],
  stale = false,
  last, // the attempt that failed, while there is no connection
  refused = '';

// admin changes something and shows the state that comes of it, if it is of the
// server that is shown; else its result says where the change was made. Panels
// get it with the model; it is undefined where there is no admin API.
const admin = {
  token: '',
  async send(method, path, body) {
    const state = await send(method, path, body, admin.token);
    if (from && state.from.id !== from.id) return `Changed on ${pod(state.from, from)}, not on ${pod(from, state.from)}, which is shown here.`;
    change(state);
    return '';
  },
};

// load shows the model, if it is another one. After a failure the feed's next
// event tries again.
async function load() {
  const mine = (loading = {});
  let reply, m;
  for (let i = 0; i < most; i++) {
    reply = await call('ui/model').catch(() => undefined);
    if (mine !== loading) return; // a later one does it
    m = reply?.ok && reply.json();
    if (!m || !from || m.about.id === from.id) break;
    await new Promise((done) => setTimeout(done, 20 * i));
  }
  stale = !m;
  if (stale || reply.text === model) return;
  model = reply.text;
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

// away says that no events come. The first time it may be that another replica
// has to be found; a server that has enough viewers says so.
function away(failed) {
  if (refused) connection('wait', 'no figures', `The server sends no figures: ${refused}. This page keeps asking; all else works.`);
  else if (failed === 1) connection('wait', 'connecting');
  else connection('bad', 'no connection', 'The server does not answer. This page keeps trying; what it shows is the last it heard.');
}

feed.addEventListener('up', () => {
  last = undefined;
  refused = '';
  connection('good', 'live');
  load();
});
feed.addEventListener('down', async ({ detail }) => {
  last = detail;
  if (stale) load();
  away(detail.failed);
  if (detail.opened) return;
  const why = await refusal();
  if (last !== detail) return; // something else has happened since
  refused = why;
  away(detail.failed);
});
feed.addEventListener('history', ({ detail }) => {
  from = detail.from;
  samples = detail.samples;
  tell('source', detail);
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
