// SharedFeed is a Feed that all windows of the page share, by a worker. Where there is
// no such worker, each window has its own.

import { address } from './api.js';
import { Feed } from './feed.js';

const sign = 10e3; // ms between two signs of life to the worker
const names = ['history', 'sample', 'state', 'up', 'down'];

export class SharedFeed extends EventTarget {
  #port;
  #own;
  #open = false;
  #timer;

  constructor() {
    super();
    const url = address('ui/events').href;
    try {
      const worker = new SharedWorker(new URL('./worker.js', import.meta.url), { type: 'module', name: url });
      worker.addEventListener('error', () => this.#fallBack(url)); // such as a replica of another release, which does not have the file
      this.#port = worker.port;
      this.#port.onmessage = ({ data: [name, detail] }) => this.#tell(name, detail);
    } catch {
      this.#fallBack(url);
    }
  }

  #tell(name, detail) {
    if (this.#open) this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #fallBack(url) {
    if (this.#own) return;
    this.#port?.close();
    this.#port = undefined;
    this.#own = new Feed(url);
    for (const name of names) this.#own.addEventListener(name, ({ detail }) => this.#tell(name, detail));
    if (this.#open) this.open();
  }

  open() {
    this.#open = true;
    clearInterval(this.#timer);
    if (this.#own) {
      this.#own.open();
      return;
    }
    const say = () => this.#port.postMessage('open');
    this.#timer = setInterval(say, sign);
    say();
  }

  close() {
    this.#open = false;
    clearInterval(this.#timer);
    if (this.#own) this.#own.close();
    else this.#port.postMessage('close');
  }
}
