// The shared worker receives the server's events once for all windows of the page,
// because a browser opens only six connections to a host over HTTP/1.1. Its name is
// the address of the events. A window sends "open" every few seconds while it is
// visible, and "close" when it is not.

import { Feed } from './feed.js';

const patience = 30e3; // ms until a window that sends nothing counts as closed
const maxAge = 15 * 60e3; // ms until a sample is dropped
const feed = new Feed(self.name);
const seen = new Map(); // when each port last sent something
let history, state, // the latest ones
  down; // the last failure; undefined while connected

const post = (port, name, detail) => port.postMessage([name, detail]);

function relay(name, note) {
  feed.addEventListener(name, ({ detail }) => {
    note(detail);
    for (const port of seen.keys()) post(port, name, detail);
  });
}
relay('history', (detail) => (history = detail));
relay('sample', (detail) => {
  if (history) history = { ...history, samples: [...history.samples.filter((s) => s.t > detail.t - maxAge), detail] };
});
relay('state', (detail) => (state = detail));
relay('up', () => (down = undefined));
relay('down', (detail) => {
  down = detail;
  history = state = undefined;
});

// join adds a window and tells it what the others know.
function join(port) {
  const first = seen.size === 0;
  seen.set(port, Date.now());
  if (first) {
    history = state = down = undefined;
    feed.open();
  } else if (down) post(port, 'down', down);
  else if (history) {
    post(port, 'history', history);
    post(port, 'up');
    if (state) post(port, 'state', state);
  }
}

function leave(port) {
  if (seen.delete(port) && seen.size === 0) feed.close();
}

self.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if (data === 'close') leave(port);
    else if (seen.has(port)) seen.set(port, Date.now());
    else join(port);
  };
};

setInterval(() => {
  for (const [port, at] of seen) if (at < Date.now() - patience) leave(port);
}, patience);
