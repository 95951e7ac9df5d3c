// The page loads the model, follows the server's events and passes both to the
// panels. A panel is a custom element with any of the methods show(model),
// change(state), source(history), sample(samples), response(response) and
// watch(on), where on says whether the page is visible.
//
// Several replicas may share the page's address. The events come from one of them.
// The page requests the model until it comes from the same one. A change reaches
// any of them.

import { call, refusal, send } from './api.js';
import { html, pod } from './dom.js';
import { SharedFeed } from './shared.js';
import './greeting.js';
import './responses.js';
import './live.js';
import './chain.js';
import './faults.js';
import './try.js';
import './token.js';
import './console.js';

const maxAge = 15 * 60e3; // ms until a sample is dropped
const maxAttempts = 12; // requests for the model of the server that sends the events
const $ = (id) => document.getElementById(id);
const panels = [...document.querySelectorAll('main *')].filter((el) => el.localName.startsWith('pod-'));
const callPanels = (method, ...args) => panels.forEach((panel) => panel[method]?.(...args));

const feed = new SharedFeed();
let from, // the instance that sends the events
  loading, // the latest call of load
  model, // as JSON
  modules, // as JSON
  samples = [],
  stale = false, // whether loading the model failed
  lastFailure, // undefined while connected
  refused = ''; // why the server sends no events

// admin changes the server and shows the new state. If the change reached another
// replica than the one shown, send returns a message that says so, otherwise ''.
// Panels get admin as model.api, which is undefined when the admin API is off.
const admin = {
  token: '',
  async send(method, path, body) {
    const state = await send(method, path, body, admin.token);
    if (from && state.from.id !== from.id) return `Changed on ${pod(state.from, from)}, not on ${pod(from, state.from)}, which this page shows.`;
    change(state);
    return '';
  },
};

// load requests the model and shows it if it has changed. After a failure, the
// feed's next event tries again.
async function load() {
  const attempt = (loading = {});
  let reply, m;
  for (let i = 0; i < maxAttempts; i++) {
    reply = await call('ui/model').catch(() => undefined);
    if (attempt !== loading) return; // a later call has replaced this one
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
  callPanels('show', m);
}

// change shows a new state. When a module was switched, it reloads the model,
// because the chains of routes have changed.
function change(state) {
  callPanels('change', state);
  const now = JSON.stringify(state.modules);
  if (modules && now !== modules) load();
  modules = now;
}

function showConnection(tone, text, banner) {
  $('connection').dataset.tone = tone;
  $('connection').lastElementChild.textContent = text;
  if (banner !== $('banner').textContent) $('banner').textContent = banner ?? '';
  $('banner').hidden = !banner;
}

// showDisconnected says that no events arrive. The first failure may only mean that
// another replica has to be found. A server with too many viewers gives that reason.
function showDisconnected(failed) {
  if (refused) showConnection('wait', 'no live metrics', `The server sends no live metrics: ${refused}. This page keeps trying; everything else works.`);
  else if (failed === 1) showConnection('wait', 'connecting');
  else showConnection('bad', 'no connection', 'The server is not responding. This page keeps trying and shows the last data it received.');
}

feed.addEventListener('up', () => {
  lastFailure = undefined;
  refused = '';
  showConnection('good', 'live');
  load();
});
feed.addEventListener('down', async ({ detail }) => {
  lastFailure = detail;
  if (stale) load();
  showDisconnected(detail.failed);
  if (detail.opened) return;
  const reason = await refusal();
  if (lastFailure !== detail) return; // reconnected or failed again meanwhile
  refused = reason;
  showDisconnected(detail.failed);
});
feed.addEventListener('history', ({ detail }) => {
  from = detail.from;
  samples = detail.samples;
  callPanels('source', detail);
  callPanels('sample', samples);
});
feed.addEventListener('sample', ({ detail }) => {
  samples = [...samples.filter((s) => s.t > detail.t - maxAge), detail];
  callPanels('sample', samples);
  if (stale) load();
});
feed.addEventListener('state', ({ detail }) => change(detail));
document.addEventListener('response', ({ detail }) => callPanels('response', detail));

function followVisibility() {
  if (document.hidden) feed.close();
  else feed.open();
  callPanels('watch', !document.hidden);
}
document.addEventListener('visibilitychange', followVisibility);
addEventListener('pagehide', () => feed.close());
addEventListener('pageshow', (e) => e.persisted && followVisibility());

for (const section of document.querySelectorAll('section[id]')) {
  // A plain fragment would be relative to the document's base, not to the page.
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
skip.href = `${location.pathname}${location.search}#responses`;

const dark = matchMedia('(prefers-color-scheme: dark)');
const theme = () => document.documentElement.dataset.theme ?? (dark.matches ? 'dark' : 'light');
function labelTheme() {
  $('theme').textContent = theme() === 'dark' ? 'Light' : 'Dark';
  $('theme').ariaLabel = `${$('theme').textContent} theme`;
}
$('theme').addEventListener('click', () => {
  document.documentElement.dataset.theme = theme() === 'dark' ? 'light' : 'dark';
  try {
    localStorage.setItem('podinfo-theme', theme());
  } catch {
    /* storage is forbidden: the choice lasts for this visit */
  }
  labelTheme();
});
dark.addEventListener('change', labelTheme);
labelTheme();

load();
followVisibility();
