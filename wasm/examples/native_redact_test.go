package examples

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wedge-proxy/wedge/policy/abi"
)

// redacting is redact in Go, with regular expressions where the guests scan by hand.
type redacting struct {
	kv map[string][]byte
}

var (
	redactKinds = []string{"EMAIL", "PHONE", "CARD"}

	localPart  = regexp.MustCompile(`[A-Za-z0-9._%+-]+$`)
	domainPart = regexp.MustCompile(`^@[A-Za-z0-9.-]*[A-Za-z0-9]`)
	domainGood = regexp.MustCompile(`^@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$`)
	phonePart  = regexp.MustCompile(`^\+[0-9](?:[ .()-]{0,2}[0-9])*`)
	cardPart   = regexp.MustCompile(`^[0-9](?:[ -]?[0-9])*`)
	wordByte   = regexp.MustCompile(`[A-Za-z0-9]`)
	mark       = regexp.MustCompile(`\[(EMAIL|PHONE|CARD)_([0-9]{1,2})\]`)
	markBegun  = regexp.MustCompile(`\[(E(M(A(I(L(_[0-9]{0,2})?)?)?)?)?|P(H(O(N(E(_[0-9]{0,2})?)?)?)?)?|C(A(R(D(_[0-9]{0,2})?)?)?)?)?$`)
)

func nativeRedact([]byte) (*native, error) {
	r := &redacting{kv: map[string][]byte{}}
	return &native{request: r.request, response: r.response, chunk: r.chunk}, nil
}

type span struct{ kind, from, to int }

// wordEnds tells that no word goes on behind text[:end].
func wordEnds(text string, end int) bool {
	return end == len(text) || !wordByte.MatchString(text[end:end+1])
}

// spans finds what is to be replaced in a piece of a string without escapes.
func spans(text string) (found []span) {
	from := 0 // behind the last hit
	for i := 0; i < len(text); i++ {
		fresh := i == from || !wordByte.MatchString(text[i-1:i])
		kind, begin, end := -1, i, 0
		switch c := text[i]; {
		case c == '@':
			if local := localPart.FindString(text[from:i]); local != "" {
				if domain := domainPart.FindString(text[i:]); goodDomain(domain) {
					kind, begin, end = 0, i-len(local), i+len(domain)
				}
			}
		case c == '+' && fresh && (i == from || text[i-1] != '+'):
			if phone := phonePart.FindString(text[i:]); phone != "" {
				if n := digitsIn(phone); n >= 8 && n <= 15 && wordEnds(text, i+len(phone)) {
					kind, end = 1, i+len(phone)
				}
			}
		case c >= '0' && c <= '9' && fresh:
			card := cardPart.FindString(text[i:])
			if n := digitsIn(card); n >= 13 && n <= 19 && wordEnds(text, i+len(card)) && luhn(card) {
				kind, end = 2, i+len(card)
			}
		}
		if kind >= 0 && end-begin <= 254 {
			found = append(found, span{kind, begin, end})
			from = end
			i = end - 1
		}
	}
	return found
}

// goodDomain wants something before the last dot, and letters behind it.
func goodDomain(domain string) bool {
	return strings.LastIndexByte(domain, '.') > 1 && domainGood.MatchString(domain)
}

func digitsIn(text string) (n int) {
	for i := range len(text) {
		if text[i] >= '0' && text[i] <= '9' {
			n++
		}
	}
	return n
}

func luhn(card string) bool {
	sum, i := 0, 0
	for _, c := range slices.Backward([]byte(card)) {
		if c < '0' || c > '9' {
			continue
		}
		d := int(c - '0')
		if i%2 == 1 {
			d *= 2
			d = d/10 + d%10
		}
		sum += d
		i++
	}
	return sum%10 == 0
}

// pieces cuts the strings of a JSON document at their escapes.
func pieces(body string) (all []span) {
	for i := 0; i < len(body); i++ {
		if body[i] != '"' {
			continue
		}
		from := i + 1
		for i++; i < len(body) && body[i] != '"'; i++ {
			if body[i] != '\\' {
				continue
			}
			all = append(all, span{from: from, to: i})
			if i++; i < len(body) && body[i] == 'u' {
				i += 4
			}
			from = min(i+1, len(body))
		}
		all = append(all, span{from: from, to: max(from, min(i, len(body)))})
	}
	return all
}

type mapping struct {
	texts [3][]string
	bytes []byte
}

var errTooMuch = errors.New("too much to redact")

func (m *mapping) number(kind int, text string) (int, error) {
	if i := slices.Index(m.texts[kind], text); i >= 0 {
		return i + 1, nil
	}
	if len(m.texts[kind]) == 99 || len(m.bytes)+2+len(text) > 4096 {
		return 0, errTooMuch
	}
	m.texts[kind] = append(m.texts[kind], text)
	m.bytes = append(append(m.bytes, byte(kind), byte(len(text))), text...)
	return len(m.texts[kind]), nil
}

func (r *redacting) request(in *abi.Request, dst []byte) ([]byte, error) {
	var (
		m       mapping
		patches []abi.Patch
		body    = string(in.Body)
	)
	for _, piece := range pieces(body) {
		for _, s := range spans(body[piece.from:piece.to]) {
			from, to := piece.from+s.from, piece.from+s.to
			n, err := m.number(s.kind, body[from:to])
			if err != nil || len(patches) == 256 {
				return dst, errTooMuch
			}
			patches = append(patches, abi.Patch{Offset: uint32(from), Delete: uint32(to - from),
				Insert: fmt.Appendf(nil, "[%s_%d]", redactKinds[s.kind], n)})
		}
	}
	if len(patches) == 0 {
		return dst, nil
	}
	dst = abi.AppendPatches(dst, patches...)
	if len(m.bytes) > 245 {
		r.kv[strconv.FormatUint(in.ID, 16)] = m.bytes
		return abi.AppendState(dst, []byte{1, 0}), nil
	}
	return abi.AppendState(dst, append([]byte{0, 0}, m.bytes...)), nil
}

// read takes a state apart.
func (r *redacting) read(state []byte, id uint64) (m mapping, carry []byte, ok bool) {
	if len(state) < 2 {
		return m, nil, false
	}
	carry, rest := state[2:2+state[1]], state[2+state[1]:]
	if state[0] == 1 {
		if rest, ok = r.kv[strconv.FormatUint(id, 16)]; !ok {
			return m, nil, false
		}
	}
	m.bytes = rest
	for len(rest) > 0 {
		n := 2 + int(rest[1])
		m.texts[rest[0]] = append(m.texts[rest[0]], string(rest[2:n]))
		rest = rest[n:]
	}
	return m, carry, true
}

func (m *mapping) restore(text []byte) []byte {
	return mark.ReplaceAllFunc(text, func(found []byte) []byte {
		parts := mark.FindSubmatch(found)
		kind := slices.Index(redactKinds, string(parts[1]))
		n, _ := strconv.Atoi(string(parts[2]))
		if n < 1 || n > len(m.texts[kind]) {
			return found
		}
		return []byte(m.texts[kind][n-1])
	})
}

func (r *redacting) response(in *abi.Response, dst []byte) ([]byte, error) {
	m, _, ok := r.read(in.State, in.ID)
	if !ok {
		return dst, nil
	}
	if text := m.restore(in.Text); !bytes.Equal(text, in.Text) {
		dst = abi.AppendText(dst, text)
	}
	return dst, nil
}

func (r *redacting) chunk(in *abi.Chunk, dst []byte) ([]byte, error) {
	m, carry, ok := r.read(in.State, in.ID)
	if !ok {
		return dst, nil
	}
	text := append(slices.Clone(carry), in.Text...)
	held := 0
	if at := markBegun.FindIndex(text); at != nil && in.Flags&abi.ChunkLast == 0 {
		held = len(text) - at[0]
	}
	out := m.restore(text[:len(text)-held])
	switch {
	case len(out) == 0 && held > 0:
		dst = abi.AppendDrop(dst)
	case len(out) > 0 && !bytes.Equal(out, in.Text):
		dst = abi.AppendText(dst, out)
	}
	if held == 0 && len(carry) == 0 {
		return dst, nil
	}
	state := append([]byte{in.State[0], byte(held)}, text[len(text)-held:]...)
	if in.State[0] == 0 {
		state = append(state, m.bytes...)
	}
	return abi.AppendState(dst, state), nil
}
