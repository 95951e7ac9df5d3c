"""Hooks of MkDocs: the pages are written for GitHub, and read there too."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ITEM = re.compile(r"(?:[-*+]|\d+\.) +")
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def on_config(config):
    """Take the navigation from the index, docs/README.md, which is the home page."""
    nav, seen = [{"Documentation": "README.md"}], {"README.md"}
    for section in (ROOT / "docs/README.md").read_text().split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        pages = []
        for row in re.findall(r"(?m)^\| ([^|]+) \| (.+) \|$", body):
            for _, target in LINK.findall(row[1]):
                if target.endswith(".md") and not target.startswith("..") and target not in seen:
                    seen.add(target)
                    pages.append(target)
        nav.append({title: pages})
    modules = sorted(p.name for p in (ROOT / "docs/modules").glob("*.md") if p.name != "README.md")
    nav.append({"Modules": ["modules/" + m for m in modules]})
    config["nav"] = nav
    return config


def python_lists(markdown):
    """Indent what belongs to a list item as Python-Markdown requires: text by four
    spaces, where GitHub is content with the width of the bullet, and code by eight, as
    it knows no fences there."""
    out, width, code, fence = [], 0, "", False
    for line in markdown.split("\n"):
        item = ITEM.match(line)
        if line.startswith("```"):
            fence, width = not fence, 0
        elif not fence and item:
            width = item.end()
        elif not fence and width and line.startswith(" " * width):
            line = line[width:]
            if line.startswith("```"):
                code, line = "" if code else "    ", ""
            else:
                line = "    " + code + line
        elif line:
            width = 0
        out.append(line)
    return "\n".join(out)


def on_page_markdown(markdown, page, config, files):
    """Lead links to files outside of docs to the repository, and drop the comments
    that say how commands run."""
    markdown = python_lists(re.sub(r"(?m)^ *<!-- run: .* -->\n", "", markdown))
    folder = pathlib.PurePosixPath("docs", page.file.src_uri).parent

    def outside(match):
        text, target = match.groups()
        path, _, fragment = target.partition("#")
        if "://" in target or not path:
            return match.group(0)
        parts = []
        for part in (folder / path).parts:
            parts = parts[:-1] if part == ".." else parts + [part]
        if parts[0] == "docs" and (ROOT / "/".join(parts)).is_file():
            return match.group(0)
        kind = "tree" if (ROOT / "/".join(parts)).is_dir() else "blob"
        return f"[{text}]({config['repo_url']}/{kind}/main/{'/'.join(parts)}{'#' + fragment if fragment else ''})"

    return LINK.sub(outside, markdown)
