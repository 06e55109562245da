package wire

// suggest is the end of a message that names the candidate nearest to a misspelt word, "" if none is near.
func suggest(word string, candidates []string) string {
	best, least := "", 1+max(1, min(len(word), 12)/3)
	for _, c := range candidates {
		if len(word) > 64 || len(c) > 64 {
			continue
		}
		if d := distance(word, c); d < least && d < len(word) {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + show(best) + "?"
}

// distance is how many bytes must be inserted, removed or replaced to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
