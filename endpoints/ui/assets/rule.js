// The form of a fault rule. It completes keys and shows what the rule would do, which
// the server simulates, before the rule is saved.

import { call, post } from './api.js';
import { field, fill, html, percent, seconds } from './dom.js';

const example = '{"match": {"path": "/api/*"}, "delay": {"p50": "80ms", "p99": "1s"}, "fault": {"status": 503}}';
const pause = 400; // ms without a key press until the preview
const maxKeys = 12; // suggested

// ruleForm returns the form. save(name, rule) saves a rule and returns whether that
// worked; token() returns the admin token.
export function ruleForm(save, token) {
  const name = html('input', {
    required: true,
    pattern: '[A-Za-z0-9_.\\-]+',
    spellcheck: 'false',
    autocomplete: 'off',
    placeholder: 'slow-api',
  });
  const rule = html('textarea', { required: true, rows: 4, spellcheck: 'false' }, example);
  const keys = html('div', { class: 'keys', role: 'group', 'aria-label': 'Keys that can stand here' });
  const preview = html('p', { class: 'preview', role: 'status' });
  let timer, latest;

  const simulate = async () => {
    clearTimeout(timer);
    const attempt = (latest = {});
    let text,
      tone = 'bad';
    try {
      text = describe(await post(`ui/simulate?name=${encodeURIComponent(name.value)}`, rule.value, token()));
      tone = 'still';
    } catch (e) {
      text = e.message;
    }
    if (attempt !== latest) return; // a later one has replaced this one
    preview.dataset.tone = tone;
    preview.textContent = text;
  };
  const complete = async () => {
    const [{ keyAt, keysIn }, schema] = await Promise.all([import('./complete.js'), scenarioSchema()]);
    const at = document.activeElement === rule && keyAt(rule.value.slice(0, rule.selectionStart));
    if (document.activeElement !== rule) return; // the suggestions stay while one is clicked
    const found = at ? [...keysIn(schema.properties?.rules?.items, at.path)].filter(([key]) => key.startsWith(at.prefix) && key !== at.prefix) : [];
    fill(
      keys,
      found.slice(0, maxKeys).map(([key, about]) => html('button', { type: 'button', title: about, onclick: () => insert(key, at.prefix) }, key)),
    );
  };
  const insert = (key, prefix) => {
    const end = rule.selectionStart;
    const quote = rule.value[end - prefix.length - 1] === '"' ? '"' : '';
    rule.setRangeText(`${key}${quote}: `, end - prefix.length, end + (quote && rule.value[end] === '"' ? 1 : 0), 'end');
    rule.focus();
    rule.dispatchEvent(new Event('input', { bubbles: true }));
  };
  const onchange = () => {
    clearTimeout(timer);
    timer = setTimeout(simulate, pause);
    complete();
  };
  rule.addEventListener('input', onchange);
  rule.addEventListener('focus', complete);
  rule.addEventListener('keyup', complete);
  rule.addEventListener('click', complete);
  const submit = async (e) => {
    e.preventDefault();
    if (!(await save(name.value, rule.value))) return;
    clearTimeout(timer);
    latest = {};
    preview.textContent = name.value = '';
  };
  return html(
    'form',
    { class: 'add', onsubmit: submit },
    html('h3', null, 'Add or replace a rule'),
    field('Name', name),
    field('Rule', rule, 'YAML or JSON'),
    keys,
    preview,
    html('div', { class: 'row' }, html('button', null, 'Save rule'), html('button', { type: 'button', onclick: simulate }, 'Preview')),
  );
}

let schema;
const scenarioSchema = () => (schema ??= call('ui/schema').then((r) => (r.ok ? r.json() : {})));

// describe says what a rule would do.
function describe({ requests, targets, from, matched, hits, faults, delay, warnings }) {
  const kinds = Object.entries(faults).map(([kind, n]) => `${kind} for ${percent(n / requests)}`);
  const slow = delay && `delayed by ${seconds(delay.p50)} (p50), ${seconds(delay.p99)} (p99)`;
  const what = [...kinds, slow].filter(Boolean).join('; ');
  const when = from ? `, from ${new Date(from).toLocaleString()}` : '';
  const result = matched ? `${percent(hits / requests)} would be hit${what && `: ${what}`}` : 'none would match';
  return [`Preview: of ${requests} simulated requests (${targets.join(', ')})${when}, ${result}. Nothing is saved yet.`, ...warnings.map((w) => `Warning: ${w}.`)].join(' ');
}
