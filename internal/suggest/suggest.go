// Package suggest finds the word that somebody meant. It links nothing: a
// program that starts often can use it.
package suggest

import "fmt"

// Word is ` (did you mean "x"?)` for the likeliest of words, or "" when
// none is near.
func Word(word string, words []string) string {
	best, far := "", max(1, len(word)/3)+1
	for _, w := range words {
		if d := distance(word, w); d < far {
			best, far = w, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is Levenshtein's: how many letters to add, drop or replace.
func distance(a, b string) int {
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
