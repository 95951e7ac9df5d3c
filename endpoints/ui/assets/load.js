// The loader fetches the page's files when the browser could not load one. During a
// rollout each request may reach a replica of another release, which responds with
// 404 to requests for the page's files. The loader requests each file until it gets
// it. The browser then has it in its cache for ever. When all files are there, the
// loader starts the page.
//
// The loader is part of the page, because another replica may not have it. It contains
// no file names. The page says which files to load (data-files) and from where
// (data-assets), which elements use which file (data-src and data-href; images must be
// SVG) and which script to start (data-main).
{
  const maxAttempts = 40; // for a file
  const timeout = 15e3; // ms for an attempt
  const deadline = 20e3; // ms after which no attempt begins
  const showAfter = 2e3; // ms until the page is shown even if files are missing
  const maxImports = 20; // attempts to start the page; only a browser without a cache needs more than one
  const root = document.documentElement;
  const { dataset } = document.currentScript;
  const address = (name) => new URL(dataset.assets + name, document.baseURI).href;
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  // Before the load event, requests may bypass the cache.
  const pageLoaded = new Promise((done) => addEventListener('load', done));
  const banner = () => document.getElementById('banner');
  let otherRelease = false; // whether a replica of another release responded
  let complete = false; // whether all files are there

  // Apply the saved theme before the first paint, so that the other one never
  // flashes.
  try {
    const theme = localStorage.getItem('podinfo-theme');
    if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
  } catch {
    /* storage is forbidden: use the system's theme */
  }
  // A presenter's view, by ?view=talk.
  const view = new URLSearchParams(location.search).get('view');
  if (view === 'talk') root.dataset.view = view;
  const show = () => (root.hidden = false);

  const download = async (name) => {
    const began = performance.now();
    for (let i = 1; i <= maxAttempts && performance.now() - began < deadline; i++) {
      try {
        const res = await fetch(address(name), { signal: AbortSignal.timeout(timeout) });
        const file = await res.blob(); // the cache stores complete files only
        if (res.ok) return file;
        otherRelease ||= res.status === 404;
      } catch {
        /* no response */
      }
      await sleep(Math.min(25 * i, 300) * (0.5 + Math.random()));
    }
    throw new Error(name);
  };

  // apply gives a style sheet or an image to the elements that use it, without
  // another request.
  const apply = async (name, file) => {
    const users = [...document.querySelectorAll(`[data-href="${name}"], img[data-src="${name}"]`)];
    if (users.some((el) => el.rel === 'stylesheet')) {
      const style = new CSSStyleSheet();
      await style.replace(await file.text());
      document.adoptedStyleSheets.push(style);
    } else if (users.length) {
      const data = `data:${file.type},${encodeURIComponent(await file.text())}`;
      for (const el of users) el['src' in el ? 'src' : 'href'] = data;
    }
  };

  // reload reloads the page unless it has done so max times in a row. The replicas
  // of the page's release may be gone; the others serve another page.
  const reload = (max) => {
    try {
      const done = Number(sessionStorage.getItem('podinfo-reloads'));
      if (done >= max) return false;
      sessionStorage.setItem('podinfo-reloads', done + 1);
      location.reload();
      return true;
    } catch {
      return false; // storage is forbidden
    }
  };

  const resetReloads = () => {
    try {
      sessionStorage.removeItem('podinfo-reloads');
    } catch {
      /* storage is forbidden: nothing was stored */
    }
  };

  const load = async () => {
    root.hidden = true; // do not show the page before it has its style
    setTimeout(show, showAfter);
    await pageLoaded;
    await Promise.all(dataset.files.split(' ').map((name) => download(name).then((file) => apply(name, file))));
    show();
    complete = true;
    for (let i = 1; ; i++) {
      try {
        return await import(address(dataset.main));
      } catch (e) {
        if (!otherRelease || i === maxImports) throw e;
        await sleep(50);
      }
    }
  };

  const fail = (e) => {
    // A browser remembers a failed import until the page is reloaded.
    if (otherRelease && reload(complete ? 4 : 1)) return;
    const reason = otherRelease ? 'too few servers of its release are responding' : 'the server is not responding';
    banner().textContent = `This page could not be loaded: ${reason} (${e.message}). Reload to try again.`;
    banner().hidden = false;
    show();
  };

  let started = false;
  const start = ({ target }) => {
    if (started || !target.dataset?.src && !target.dataset?.href) return;
    started = true;
    load().then(resetReloads, fail);
  };
  addEventListener('error', start, true); // error events of elements do not bubble
  addEventListener('DOMContentLoaded', () => (banner().hidden = true));
  addEventListener('load', () => started || resetReloads());
}
