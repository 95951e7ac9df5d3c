// Package pages reads the Markdown pages of this repository, so that tests can
// run their commands, check their YAML and follow their links.
//
// A comment before a code block says how its commands run:
//
//	<!-- run: server -->          in the background, until the next such block
//	<!-- run: another server -->  in the background, beside the servers that run
//	<!-- run: with COMMAND -->    after COMMAND was started like a server
//	<!-- run: in a cluster -->    by hack/e2e
//	<!-- run: not, REASON -->     not at all, for example because it publishes
//
// A block without a comment runs in the foreground and has to succeed.
package pages

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Root is the root of the repository, seen from the folder of this package.
const Root = "../../.."

// A Page is a Markdown file. Path is relative to the root of the repository.
type Page struct {
	Path     string
	Blocks   []Block
	Headings []string // the anchors of its headings, as GitHub makes them
	Links    []Link
	Indented []int // the first lines of indented code blocks
}

// A Block is a fenced code block. Line is the line of its first fence. Text has no
// indentation of the list item that contains the block.
type Block struct {
	Line       int
	Language   string
	Directives []string // what follows "run: " in the comments before it
	Text       string
	indent     string
}

// A Link is the target of a Markdown link.
type Link struct {
	Line   int
	Target string
}

// All reads every Markdown page that git tracks, or would track.
func All() ([]Page, error) {
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md")
	cmd.Dir = Root
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var all []Page
	for _, path := range strings.Fields(string(out)) {
		f, err := os.Open(filepath.Join(Root, path))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		if err != nil {
			return nil, err
		}
		p := parse(bufio.NewScanner(f))
		f.Close()
		p.Path = path
		all = append(all, p)
	}
	return all, nil
}

var (
	fence     = regexp.MustCompile("^( *)```([a-z]*)")
	directive = regexp.MustCompile(`^ *<!-- run: (.*) -->$`)
	heading   = regexp.MustCompile(`^#+ (.*)`)
	item      = regexp.MustCompile(`^([-*+]|[0-9]+\.) `)
	link      = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	notAnchor = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

func parse(lines *bufio.Scanner) (p Page) {
	var open *Block
	var directives []string
	var before, flush string // the line before, and the last one without indentation
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		m := fence.FindStringSubmatch(line)
		switch {
		case open != nil && m != nil:
			p.Blocks = append(p.Blocks, *open)
			open = nil
		case open != nil:
			open.Text += strings.TrimPrefix(line, open.indent) + "\n"
		case m != nil:
			open = &Block{Line: n, Language: m[2], Directives: directives, indent: m[1]}
			directives = nil
		default:
			// In a list item, code is indented by four more than the item's text.
			code := "    "
			if item.MatchString(flush) {
				code += "  "
			}
			if strings.HasPrefix(line, code) && before == "" {
				p.Indented = append(p.Indented, n)
			}
			if d := directive.FindStringSubmatch(line); d != nil {
				directives = append(directives, d[1])
			} else if strings.TrimSpace(line) != "" {
				directives = nil
			}
			if h := heading.FindStringSubmatch(line); h != nil {
				p.Headings = append(p.Headings, anchor(h[1]))
			}
			for _, l := range link.FindAllStringSubmatch(line, -1) {
				p.Links = append(p.Links, Link{n, l[1]})
			}
			if line != "" && line[0] != ' ' {
				flush = line
			}
			before = line
		}
	}
	return p
}

// anchor returns the fragment of a heading's link
// (https://docs.github.com/en/get-started/writing-on-github/getting-started-with-writing-and-formatting-on-github/basic-writing-and-formatting-syntax#section-links).
func anchor(heading string) string {
	heading = notAnchor.ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(strings.TrimSpace(heading), " ", "-")
}
