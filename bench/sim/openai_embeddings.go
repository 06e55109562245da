package sim

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

const (
	maxDimensions   = 4096
	smallDimensions = 1536
	largeDimensions = 3072 // of models with "large" in their names, and of Gemini's
	featureWeights  = 8    // coordinates that one word or letter triple touches
)

// planEmbeddings answers POST /v1/embeddings.
func planEmbeddings(b *brain, q *query) (*answer, *failure) {
	v := q.body
	model, list, f := modelOf(v)
	if f != nil {
		return nil, f
	}
	input := field(v, "input")
	if input == nil {
		return nil, missing("input")
	}
	var p prompt
	texts, f := readTexts(input, "input", &p)
	if f != nil {
		return nil, f
	}
	dims, f := integer(v, "dimensions", 1, maxDimensions, defaultDimensions(model))
	if f != nil {
		return nil, f
	}
	format := string(v.GetStringBytes("encoding_format"))
	if format != "" && format != "float" && format != "base64" {
		return nil, invalid("encoding_format", "invalid_value",
			"Invalid value: '%s'. Supported values are: 'float' and 'base64'.", format)
	}
	out := &answer{status: 200, contentType: typeJSON, in: p.tokens, model: model, opts: list}
	seed := mix(b.seed ^ xxhash.Sum64String(model))
	out.putEmbeddings(embedAll(texts, dims, seed), format == "base64")
	return out, nil
}

func defaultDimensions(model string) int {
	if strings.Contains(model, "large") || strings.HasPrefix(model, "gemini") {
		return largeDimensions
	}
	return smallDimensions
}

func embedAll(texts []string, dims int, seed uint64) [][]float32 {
	out := make([][]float32, len(texts))
	for i, text := range texts {
		out[i] = embed(text, dims, seed)
	}
	return out
}

// embed returns a vector of length one. Texts that share words, or parts of words, have vectors that point
// in similar directions; order and case count little.
func embed(text string, dims int, seed uint64) []float32 {
	sums := make([]float64, dims)
	// Every text has a little of the same, so that the empty one has a direction too.
	addFeature(sums, seed, 0.1)
	for _, word := range strings.Fields(strings.ToLower(text)) {
		word = strings.Trim(word, ".,;:!?\"'()")
		addFeature(sums, seed^xxhash.Sum64String(word), 1)
		for i := 0; i+3 <= len(word); i++ {
			addFeature(sums, seed^mix(xxhash.Sum64String(word[i:i+3])), 0.3)
		}
	}
	var square float64
	for _, x := range sums {
		square += x * x
	}
	out := make([]float32, dims)
	for i, x := range sums {
		out[i] = float32(x / max(math.Sqrt(square), 1e-9))
	}
	return out
}

// addFeature adds weight, with signs, to the coordinates that key stands for.
func addFeature(sums []float64, key uint64, weight float64) {
	r := rng(key)
	for range featureWeights {
		x := r.next()
		if x&1 == 0 {
			sums[(x>>1)%uint64(len(sums))] += weight
		} else {
			sums[(x>>1)%uint64(len(sums))] -= weight
		}
	}
}

func (a *answer) putEmbeddings(vectors [][]float32, packed bool) {
	a.put(`{"object":"list","data":[`)
	for i, vector := range vectors {
		if i > 0 {
			a.put(",")
		}
		a.put(`{"object":"embedding","index":`)
		a.putInt(i)
		a.put(`,"embedding":`)
		if packed {
			a.putBase64(vector)
		} else {
			a.putVector(vector)
		}
		a.put("}")
	}
	a.put(`],"model":`)
	a.putJSON(a.model)
	a.put(`,"usage":{"prompt_tokens":`)
	a.putInt(a.in)
	a.put(`,"total_tokens":`)
	a.putInt(a.in)
	a.put("}}")
}

func (a *answer) putVector(vector []float32) {
	a.put("[")
	for i, x := range vector {
		if i > 0 {
			a.put(",")
		}
		a.body = strconv.AppendFloat(a.body, float64(x), 'g', -1, 32)
	}
	a.put("]")
}

// putBase64 writes the vector as a string of little-endian 32-bit floats.
func (a *answer) putBase64(vector []float32) {
	raw := make([]byte, 0, 4*len(vector))
	for _, x := range vector {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	a.put(`"`)
	a.body = base64.StdEncoding.AppendEncode(a.body, raw)
	a.put(`"`)
}
