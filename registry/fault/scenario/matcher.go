package scenario

import "time"

// A Matcher tells which requests the conditions of a match select. Its counts,
// percent, per and sticky, do not matter.
type Matcher struct{ live *live }

// NewMatcher returns the matcher of a match that was checked, as those of the rules
// that Parse returns are.
func NewMatcher(m Match) *Matcher {
	return &Matcher{compileRule(&Rule{Match: m}, 0, time.Time{}, Limits{})}
}

// Matches reports whether the match selects a request.
func (m *Matcher) Matches(req *Request) bool {
	if req.Internal && !m.live.Match.Internal {
		return false
	}
	return m.live.meetsAll(req) && (m.live.not == nil || !m.live.not.meetsAll(req))
}

// JSONValues returns the values at a path such as $.user.id or $.items[*].sku of a
// JSON document, as match.json compares them. It returns nil for a path that is not
// valid.
func JSONValues(doc []byte, path string) []string {
	if !isJSONPath(path) {
		return nil
	}
	return jsonValues(doc, PathNames(path), nil)
}
