// Completion of the keys of a rule, in YAML or JSON, from the schema of scenarios.

// keyAt returns what is known about the key that ends at the end of text: the keys
// that it is below, and its beginning. It returns undefined where no key can be.
export function keyAt(text) {
  const prefix = text.match(/[\w-]*$/)[0];
  const head = text.slice(0, text.length - prefix.length).replace(/["']$/, '');
  const flow = flowPath(head);
  if (!flow) return undefined;
  const start = flow.open < 0 ? head : head.slice(0, flow.open);
  const line = start.slice(start.lastIndexOf('\n') + 1);
  if (flow.open < 0 && !/^[ -]*$/.test(line)) return undefined;
  const above = blockPath(start, line);
  return { path: [...above, ...flow.path], prefix };
}

// flowPath returns the keys of the open braces, undefined if the text ends in a
// value, and where the first brace is, -1 for none.
function flowPath(head) {
  const frames = [];
  let word, key, open = -1;
  for (let i = 0; i < head.length; i++) {
    const rest = head.slice(i);
    const token = rest.match(/^"((?:[^"\\]|\\.)*)"|^'([^']*)'|^([\w*/.%-]+)/);
    if (token) {
      word = token[1] ?? token[2] ?? token[3];
      i += token[0].length - 1;
    } else if (head[i] === ':') key = word;
    else if (head[i] === '{' || head[i] === '[') {
      if (!frames.length) open = i;
      frames.push({ brace: head[i], key });
      key = undefined;
    } else if (head[i] === '}' || head[i] === ']') {
      frames.pop();
      if (!frames.length) open = -1;
      key = word = undefined;
    } else if (head[i] === ',' || (head[i] === '\n' && !frames.length)) key = word = undefined;
  }
  const last = frames.at(-1);
  if (last && (last.brace === '[' || key !== undefined)) return undefined;
  return { path: frames.map((f) => f.key).filter((k) => k !== undefined), open };
}

// blockPath returns the keys of the lines that a line is below by its indentation.
// The key of the line itself, if it opens a brace, is part of the flow.
function blockPath(text, line) {
  const path = [];
  let indent = line.match(/^[ -]*/)[0].length;
  for (const above of text.split('\n').slice(0, -1).reverse()) {
    const found = above.match(/^([ -]*)([\w-]+):\s*$/);
    if (found && found[1].length < indent) {
      path.unshift(found[2]);
      indent = found[1].length;
    }
  }
  return path;
}

// options returns the schemas that a schema stands for.
const options = (s) => (s ? [s, ...(s.anyOf ?? []).flatMap(options), ...options(s.items)] : []);

// keysIn returns the keys below a path with their descriptions.
export function keysIn(schema, path) {
  let all = options(schema);
  for (const key of path) all = all.flatMap((s) => options(s.properties?.[key] ?? (typeof s.additionalProperties === 'object' ? s.additionalProperties : undefined)));
  return new Map(all.flatMap((s) => Object.entries(s.properties ?? {})).map(([key, s]) => [key, s.description ?? '']));
}
