// Loads the page's files where the browser could not. While a new release rolls
// out, each request may reach a replica of another one, which answers 404 to
// what is not its own: then each file is asked for until it is had, and stays in
// the browser's cache, for ever. Only when all are there, the page begins.
//
// This script may itself be another release's than the page. So it knows no
// file by name: the page says what there is to load (data-files), what uses
// which file (data-src and data-href; an image is one of text, an SVG), and what
// begins (data-main).
{
  const most = 40; // attempts for a file
  const patience = 15e3; // ms for an attempt
  const enough = 20e3; // ms until no attempt begins
  const slow = 2e3; // ms until the page is shown as it is
  const again = 20; // attempts with what should be in the cache, and is not where the browser keeps none
  const root = document.documentElement;
  const { src, dataset } = document.currentScript;
  const address = (name) => new URL(name, src).href;
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  // Not before: what is asked for until then may pass by the cache.
  const parsed = new Promise((done) => addEventListener('load', done));
  const banner = () => document.getElementById('banner');
  let strange = false; // another release answered
  let had = false; // all files are there

  // Before the first paint, so that a chosen theme never flashes.
  try {
    const theme = localStorage.getItem('podinfo-theme');
    if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
  } catch {
    /* storage is forbidden: the system's theme it is */
  }
  const show = () => (root.hidden = false);

  const get = async (name) => {
    const began = performance.now();
    for (let i = 1; i <= most && performance.now() - began < enough; i++) {
      try {
        const res = await fetch(address(name), { signal: AbortSignal.timeout(patience) });
        const file = await res.blob(); // all of it, for the cache too
        if (res.ok) return file;
        strange ||= res.status === 404;
      } catch {
        /* no answer */
      }
      await sleep(Math.min(25 * i, 300) * (0.5 + Math.random()));
    }
    throw new Error(name);
  };

  // use gives styles and images to the elements that wait for them, so that they
  // are not asked for again.
  const use = async (name, file) => {
    const waiting = [...document.querySelectorAll(`[data-href="${name}"], img[data-src="${name}"]`)];
    if (waiting.some((el) => el.rel === 'stylesheet')) {
      const style = new CSSStyleSheet();
      await style.replace(await file.text());
      document.adoptedStyleSheets.push(style);
    } else if (waiting.length) {
      const data = `data:${file.type},${encodeURIComponent(await file.text())}`;
      for (const el of waiting) el['src' in el ? 'src' : 'href'] = data;
    }
  };

  // reload reloads the page, so many times in a row: the servers of its release
  // may have gone, and those that answer have another page.
  const reload = (times) => {
    try {
      const done = Number(sessionStorage.getItem('podinfo-reloads'));
      if (done >= times) return false;
      sessionStorage.setItem('podinfo-reloads', done + 1);
      location.reload();
      return true;
    } catch {
      return false; // storage is forbidden
    }
  };

  const good = () => {
    try {
      sessionStorage.removeItem('podinfo-reloads');
    } catch {
      /* never set */
    }
  };

  const load = async () => {
    root.hidden = true; // what has no style yet does not flash
    setTimeout(show, slow);
    await parsed;
    await Promise.all(dataset.files.split(' ').map((name) => get(name).then((file) => use(name, file))));
    show();
    had = true;
    for (let i = 1; ; i++) {
      try {
        return await import(address(dataset.main));
      } catch (e) {
        if (!strange || i === again) throw e;
        await sleep(50);
      }
    }
  };

  const failed = (e) => {
    // A browser that remembers what it could not import needs to begin anew.
    if (strange && reload(had ? 4 : 1)) return;
    const why = strange ? 'too few of the servers that answer are of its release' : 'the server does not answer';
    banner().textContent = `This page could not be loaded, ${why} (${e.message}). Reload it to try again.`;
    banner().hidden = false;
    show();
  };

  let begun = false;
  const rescue = ({ target }) => {
    if (begun || !target.dataset?.src && !target.dataset?.href) return;
    begun = true;
    load().then(good, failed);
  };
  addEventListener('error', rescue, true); // of elements it does not bubble
  addEventListener('DOMContentLoaded', () => (banner().hidden = true));
  addEventListener('load', () => begun || good());
}
