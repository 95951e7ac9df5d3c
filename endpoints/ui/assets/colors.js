// Colours of versions. A version has the colour that it is configured with. Where
// that would be hard to see or to tell from another one, its lightness or its hue
// is changed.

import { html } from './dom.js';

const fallback = '#34577c'; // replaces colours that the browser does not know
const minContrast = 3; // to the panel, see WCAG 2.2, 1.4.11
const minDistance = 0.1; // in OKLab; below, two colours look alike
const minChroma = 0.11; // of a hue that was chosen to tell versions apart
const turn = 137.5; // degrees: the golden angle keeps many hues apart
const panels = [1, 0.0121]; // luminances of the panel, light and dark
const maxContrast = 11; // to the panel; above, the shades of pods tend to the panel, else to the text

// rgb returns the components of a CSS colour, 0 to 255. A scheme is "light" or "dark";
// without one it is the page's.
export function rgb(color, scheme = '') {
  const probe = html('span', { hidden: true });
  probe.style.colorScheme = scheme;
  probe.style.color = fallback;
  probe.style.color = color;
  document.body.append(probe);
  const parts = getComputedStyle(probe)
    .color.match(/[\d.]+/g)
    .map(Number);
  probe.remove();
  return parts.length === 4 && parts[3] === 0 ? rgb(fallback) : parts.slice(0, 3);
}

const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
const gamma = (c) => 255 * (c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055);

// luminance returns WCAG 2's relative luminance, 0 to 1.
export function luminance(parts) {
  const [r, g, b] = parts.map(linear);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// toLab and fromLab convert sRGB to OKLab and back
// (https://www.w3.org/TR/css-color-4/#color-conversion-code).
function toLab(parts) {
  const [r, g, b] = parts.map(linear);
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function fromLab([L, a, b]) {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((c) => Math.round(gamma(Math.min(Math.max(c, 0), 1))));
}

const contrast = (c, panel) => (Math.max(luminance(c), panel) + 0.05) / (Math.min(luminance(c), panel) + 0.05);

// fit changes the lightness of a colour until it contrasts with the panel.
function fit(parts, panel) {
  const step = panel > 0.5 ? -0.02 : 0.02;
  const [L, a, b] = toLab(parts);
  let out = parts;
  for (let i = 1; contrast(out, panel) < minContrast && i < 50; i++) out = fromLab([L + i * step, a, b]);
  return out;
}

// rotated returns a colour with another hue.
function rotated(parts, degrees) {
  const [L, a, b] = toLab(parts);
  const chroma = Math.max(Math.hypot(a, b), minChroma),
    hue = Math.atan2(b, a) + (degrees * Math.PI) / 180;
  return fromLab([Math.min(Math.max(L, 0.4), 0.75), chroma * Math.cos(hue), chroma * Math.sin(hue)]);
}

const distance = (a, b) => Math.hypot(...toLab(a).map((x, i) => x - toLab(b)[i]));
const compare = new Intl.Collator('en', { numeric: true }).compare;

// colorsOf returns the CSS colour of each version, given its configured colour, and
// the one that it is mixed with for the shades of its pods. The result depends on the
// versions, not on their order. Of several versions with colours that look alike, the
// lowest one keeps its own. Where too many look alike, the farthest hue is chosen.
export function colorsOf(configured) {
  const taken = [],
    out = new Map(),
    errors = ['light', 'dark'].map((scheme) => rgb('var(--bad)', scheme)); // a chosen hue must not look like an error
  for (const version of [...configured.keys()].sort(compare)) {
    const own = rgb(configured.get(version) ?? fallback);
    let pair,
      farthest = -1;
    for (let i = 0; i < 24 && farthest < minDistance; i++) {
      const next = panels.map((panel) => fit(i ? rotated(own, turn * i) : own, panel));
      const others = i ? [errors, ...taken] : taken;
      const far = Math.min(...others.flatMap((other) => next.map((c, theme) => distance(c, other[theme]))));
      if (far > farthest) [pair, farthest] = [next, far];
    }
    taken.push(pair);
    const both = (list) => `light-dark(${list.join(', ')})`;
    out.set(version, {
      color: both(pair.map((c) => `rgb(${c.join(' ')})`)),
      mix: both(pair.map((c, theme) => (contrast(c, panels[theme]) > maxContrast ? 'var(--panel)' : 'var(--text)'))),
    });
  }
  return out;
}
