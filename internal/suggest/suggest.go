// Package suggest finds the known word that is nearest to a misspelt one. It
// depends on nothing but fmt, so that podcli stays small.
package suggest

import "fmt"

// Word returns ` (did you mean "x"?)` with the nearest of words, or "" when no
// word is near enough.
func Word(word string, words []string) string {
	best, nearest := "", max(1, len(word)/3)+1
	for _, w := range words {
		if d := Distance(word, w); d < nearest {
			best, nearest = w, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// Distance returns the Levenshtein distance of a and b: the number of bytes to
// add, drop or replace.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
