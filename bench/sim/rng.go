package sim

// rng is a splitmix64 generator: the same seed gives the same answers on every machine and in every version
// of Go.
type rng uint64

func (r *rng) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	return mix(uint64(*r))
}

// mix spreads every bit of x over the whole word.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below returns a number in [0, n); n must be positive.
func (r *rng) below(n int) int { return int(r.next() % uint64(n)) }

// unit returns a number in [0, 1).
func (r *rng) unit() float64 { return float64(r.next()>>11) / (1 << 53) }

const idAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// id returns prefix and n letters and digits.
func (r *rng) id(prefix string, n int) string {
	return string(r.appendDigits(append(make([]byte, 0, 64), prefix...), idAlphabet, n))
}

// hex returns prefix and n lower-case hexadecimal digits.
func (r *rng) hex(prefix string, n int) string {
	return string(r.appendDigits(append(make([]byte, 0, 64), prefix...), hexDigits, n))
}

// appendDigits appends n characters of alphabet, which has at most 64: one draw is enough for ten of them.
func (r *rng) appendDigits(dst []byte, alphabet string, n int) []byte {
	var x uint64
	for i := range n {
		if i%10 == 0 {
			x = r.next()
		}
		dst = append(dst, alphabet[x%uint64(len(alphabet))])
		x /= uint64(len(alphabet))
	}
	return dst
}
