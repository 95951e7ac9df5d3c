// Helpers for elements, and for numbers, durations and dates as text.

const make =
  (create) =>
  (tag, props, ...children) => {
    const el = create(tag);
    for (const [name, value] of Object.entries(props ?? {})) {
      if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
      else if (value === true) el.setAttribute(name, '');
      else if (value !== false && value != null) el.setAttribute(name, value);
    }
    el.append(...renderable(children));
    return el;
  };

// renderable drops the children that conditions left out.
const renderable = (children) => children.flat(Infinity).filter((c) => c != null && c !== false);

// html and svg create an element. Properties that begin with "on" are listeners,
// all others are attributes. Children are elements or text, never markup.
export const html = make((tag) => document.createElement(tag));
export const svg = make((tag) => document.createElementNS('http://www.w3.org/2000/svg', tag));

// fill replaces the children of el.
export const fill = (el, ...children) => el.replaceChildren(...renderable(children));

let lastID = 0;
// id returns an element ID that is unique in the document.
export const id = () => `i${++lastID}`;

// field returns a control with its label and an optional hint.
export function field(label, control, hint) {
  control.id ||= id();
  const note = hint && html('small', { id: `${control.id}-hint` }, hint);
  if (note) control.setAttribute('aria-describedby', note.id);
  return html('div', { class: 'field' }, html('label', { for: control.id }, label), control, note);
}

// table returns a table in a container that scrolls. A head is a text and an
// optional class.
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

// toggle returns a switch. A click calls request with the wanted value; the switch
// moves only when set is called with the actual value.
export function toggle(label, request) {
  const button = html('button', { type: 'button', role: 'switch', class: 'switch', 'aria-checked': 'false', 'aria-label': label });
  button.addEventListener('click', async () => {
    button.setAttribute('aria-busy', 'true');
    await request(button.getAttribute('aria-checked') !== 'true');
    button.removeAttribute('aria-busy');
  });
  button.set = (on) => button.setAttribute('aria-checked', String(on));
  return button;
}

// announce makes screen readers read a text, even if they have just read the same
// one. It is not visible.
export function announce(text) {
  const el = document.getElementById('announcer');
  el.textContent = '';
  setTimeout(() => {
    el.textContent = text;
  }, 50);
}

// digits returns the number of decimals for three significant digits.
const digits = (x) => (x >= 100 || x === 0 ? 0 : x >= 10 ? 1 : 2);
// number formats a number with up to three significant digits.
export const number = (x) => (x == null ? '–' : x.toLocaleString('en', { maximumFractionDigits: digits(Math.abs(x)) }));
// seconds formats a duration that is given in seconds.
export function seconds(s) {
  if (s == null) return '–';
  if (s >= 1) return `${number(s)} s`;
  return s >= 0.001 || s === 0 ? `${number(s * 1e3)} ms` : `${number(s * 1e6)} µs`;
}
// bytes formats a size in binary units.
export function bytes(n) {
  if (n == null) return '–';
  const unit = n < 1024 ? 0 : n < 1024 ** 2 ? 1 : n < 1024 ** 3 ? 2 : 3;
  return `${number(n / 1024 ** unit)} ${['B', 'KiB', 'MiB', 'GiB'][unit]}`;
}
// percent formats a share from 0 to 1.
export const percent = (share) => `${number(share * 100)}%`;
// clock formats the local time of day of a Date or of Unix milliseconds.
export const clock = (t) => new Date(t).toLocaleTimeString('en-GB');
// moment formats a time as clock does, preceded by the date unless it is today.
export const moment = (t) => `${date(t) === date(Date.now()) ? '' : `${date(t)}, `}${clock(t)}`;
const date = (t) => new Date(t).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
// pod names an instance. If other has the same host name, it adds a process ID to
// tell them apart.
export const pod = ({ hostname, version, id }, other) =>
  `pod ${hostname} (${version}${other?.hostname === hostname ? `, process ${id.slice(0, 6)}` : ''})`;
