// The stream of the server's events. It needs no document, so that a worker can use
// it.

const maxBackoff = 15e3; // ms between attempts to connect
const minSilence = 10e3; // ms without an event until the connection counts as lost, at least
const firstEvent = 120e3; // ms for the first event, which is long, to arrive over a slow network

// Feed forwards the server's events while it is open. It adds the event "up" and
// the event "down", with the number of consecutive failures and whether the
// connection had been opened. EventSource reconnects by itself, but not after a
// proxy's 502, and it waits for ever for a server that hangs.
export class Feed extends EventTarget {
  #url;
  #source;
  #timer; // until the next attempt, or until an open connection counts as lost
  #failed = 0; // consecutive failures
  #opened = false;
  #silence = minSilence;

  constructor(url) {
    super();
    this.#url = url;
  }

  open() {
    this.close();
    const source = (this.#source = new EventSource(this.#url));
    this.#opened = false;
    source.onopen = () => {
      this.#opened = true;
      this.#awaitEvent(firstEvent);
    };
    source.onerror = () => this.#lost();
    for (const name of ['history', 'sample', 'state']) {
      source.addEventListener(name, (e) => {
        const detail = JSON.parse(e.data);
        if (name === 'history') this.#silence = Math.max(3 * detail.interval, minSilence);
        this.#awaitEvent(this.#silence);
        this.dispatchEvent(new CustomEvent(name, { detail }));
      });
    }
    source.addEventListener('history', () => {
      this.#failed = 0;
      this.dispatchEvent(new Event('up'));
    });
    source.addEventListener('bye', () => this.#lost());
    this.#awaitEvent(minSilence);
  }

  close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = undefined;
  }

  // awaitEvent treats the connection as lost unless an event arrives within ms.
  #awaitEvent(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lost(), ms);
  }

  #lost() {
    this.close();
    const wait = Math.min(500 * 2 ** this.#failed++, maxBackoff) * (1 + Math.random() / 4);
    this.#timer = setTimeout(() => this.open(), wait);
    this.dispatchEvent(new CustomEvent('down', { detail: { failed: this.#failed, opened: this.#opened } }));
  }
}
