package spend

// divided divides a rate limit among the nodes that ask for it, by what they ask for. Each gets a quarter of an equal part at
// least, so that one which begins to be busy is not refused before the next division.
func divided(demand map[string]float64) map[string]float64 {
	n := float64(len(demand))
	var sum float64
	for _, d := range demand {
		sum += max(0, d)
	}
	out := make(map[string]float64, len(demand))
	for node, d := range demand {
		if sum == 0 {
			out[node] = 1 / n
			continue
		}
		floor := 1 / (4 * n)
		out[node] = floor + (1-floor*n)*max(0, d)/sum
	}
	return out
}
