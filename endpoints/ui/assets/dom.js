// Elements and figures.

const make =
  (create) =>
  (tag, props, ...children) => {
    const el = create(tag);
    for (const [name, value] of Object.entries(props ?? {})) {
      if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
      else if (value === true) el.setAttribute(name, '');
      else if (value !== false && value != null) el.setAttribute(name, value);
    }
    el.append(...real(children));
    return el;
  };

const real = (children) => children.flat(Infinity).filter((c) => c != null && c !== false);

// html and svg make an element. Properties that begin with "on" are listeners,
// all others attributes; children are elements or text, never markup.
export const html = make((tag) => document.createElement(tag));
export const svg = make((tag) => document.createElementNS('http://www.w3.org/2000/svg', tag));

// fill gives el these children and no others.
export const fill = (el, ...children) => el.replaceChildren(...real(children));

let last = 0;
// id is unique in the document.
export const id = () => `i${++last}`;

// field is a labelled control.
export function field(label, control, hint) {
  control.id ||= id();
  const note = hint && html('small', { id: `${control.id}-hint` }, hint);
  if (note) control.setAttribute('aria-describedby', note.id);
  return html('div', { class: 'field' }, html('label', { for: control.id }, label), control, note);
}

// table is a table that scrolls by itself. Its heads are pairs of a text and a
// class, which may be missing.
export function table(caption, heads, body) {
  return html(
    'div',
    { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': caption },
    html(
      'table',
      null,
      html('caption', { class: 'unseen' }, caption),
      html(
        'thead',
        null,
        html(
          'tr',
          null,
          heads.map(([text, kind]) => html('th', { scope: 'col', class: kind }, text)),
        ),
      ),
      body,
    ),
  );
}

// toggle is a switch that asks before it moves: flip is given the value that
// is wanted, and set() shows the one that is.
export function toggle(label, flip) {
  const button = html('button', { type: 'button', role: 'switch', class: 'switch', 'aria-checked': 'false', 'aria-label': label });
  button.addEventListener('click', async () => {
    button.setAttribute('aria-busy', 'true');
    await flip(button.getAttribute('aria-checked') !== 'true');
    button.removeAttribute('aria-busy');
  });
  button.set = (on) => button.setAttribute('aria-checked', String(on));
  return button;
}

// announce tells screen readers, and them only. Also what was said before is
// said again.
export function announce(text) {
  const el = document.getElementById('announcer');
  el.textContent = '';
  setTimeout(() => {
    el.textContent = text;
  }, 50);
}

const digits = (x) => (x >= 100 || x === 0 ? 0 : x >= 10 ? 1 : 2);
// number has three digits that matter, at most.
export const number = (x) => (x == null ? '–' : x.toLocaleString('en', { maximumFractionDigits: digits(Math.abs(x)) }));
// seconds is a duration, given in seconds.
export function seconds(s) {
  if (s == null) return '–';
  if (s >= 1) return `${number(s)} s`;
  return s >= 0.001 || s === 0 ? `${number(s * 1e3)} ms` : `${number(s * 1e6)} µs`;
}
// bytes is a size in binary units.
export function bytes(n) {
  if (n == null) return '–';
  const unit = n < 1024 ? 0 : n < 1024 ** 2 ? 1 : n < 1024 ** 3 ? 2 : 3;
  return `${number(n / 1024 ** unit)} ${['B', 'KiB', 'MiB', 'GiB'][unit]}`;
}
export const percent = (share) => `${number(share * 100)} %`;
const signs = { 'at most': '≤', 'more than': '>' };
// estimate is a duration in seconds of which a bound may be all that is known.
export const estimate = (s, bound) => (bound ? `${signs[bound]} ${seconds(s)}` : seconds(s));
// spoken is an estimate in words: not every screen reader reads the signs.
export const spoken = (s, bound) => (bound ? `${bound} ${seconds(s)}` : seconds(s));
// both is an estimate for eyes and for ears.
export const both = (s, bound) =>
  bound ? [html('span', { 'aria-hidden': 'true' }, estimate(s, bound)), html('span', { class: 'unseen' }, spoken(s, bound))] : seconds(s);
// clock is the local time of day of a Date or of Unix milliseconds.
export const clock = (t) => new Date(t).toLocaleTimeString('en-GB');
// moment is a clock, with the date when that is not today's.
export const moment = (t) => `${date(t) === date(Date.now()) ? '' : `${date(t)}, `}${clock(t)}`;
const date = (t) => new Date(t).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
// pod names an instance, apart from another one that may have the same name.
export const pod = ({ hostname, version, id }, other) =>
  `pod ${hostname} (${version}${other?.hostname === hostname ? `, process ${id.slice(0, 6)}` : ''})`;
