package podinfotest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/seed-4591fe7d/podinfo/internal/suggest"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// The words for responses without a status.
const (
	wordCut  = "cut"
	wordLeft = "client left"
	wordNone = "none yet"
)

// wordLate is the word for a call whose deadline has passed, and never has leftSuffix.
var wordLate = codes.DeadlineExceeded.String()

// leftSuffix follows a status or a code if the client left before the end.
const leftSuffix = ", " + wordLeft

var status3 = regexp.MustCompile(`^[1-5]\d\d$`)

// answerProblem says what is wrong with a word of WantAnswers, "" if it is one of the
// vocabulary.
func answerProblem(word string) string {
	base := strings.TrimSuffix(word, leftSuffix)
	if status3.MatchString(base) {
		return ""
	}
	if strings.HasPrefix(word, "RST_STREAM ") || strings.HasPrefix(word, "GOAWAY ") { // Request.Ended
		return ""
	}
	known := slices.Concat(rpc.Codes(), connectionWords(), []string{wordCut, wordLeft, wordNone})
	for _, w := range known {
		if w == word || w == base && w != wordLeft && w != wordNone && w != wordLate {
			return ""
		}
	}
	return fmt.Sprintf("%q is not a response%s: want a status such as 503, a code such as Unavailable, cut, client left, none yet, or how a connection failed, such as refused; client left may follow a status or code and a comma", word, likely(base, known))
}

// likely suggests the word that was probably meant.
func likely(word string, known []string) string {
	var code rpc.Code
	number, _, _ := strings.Cut(word, " ")
	meant := map[string]string{
		"reset": wordCut, "eof": wordCut, "closed": wordCut, "broken": wordCut, "truncated": wordCut, "error": wordCut, "599": wordCut,
		"timeout": wordLeft, "timed out": wordLeft, "canceled by client": wordLeft, "499": wordLeft,
		"pending": wordNone, "none": wordNone, "": wordNone, "0": wordNone,
	}[strings.ToLower(word)]
	_, err := strconv.Atoi(word)
	before, after, _ := strings.Cut(word, ",")
	switch spaced := strings.TrimSpace(before) + leftSuffix; {
	case meant != "":
	case strings.TrimSpace(after) == wordLeft && word != spaced && answerProblem(spaced) == "":
		meant = spaced
	case status3.MatchString(number):
		meant = number
	case err != nil && code.UnmarshalText([]byte(word)) == nil:
		meant = code.String()
	default:
		return suggest.Word(word, known)
	}
	return fmt.Sprintf(" (did you mean %q?)", meant)
}
