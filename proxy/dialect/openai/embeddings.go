package openai

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// readEmbedding reads a request of embeddings.
func readEmbedding(body []byte, e *dialect.Embedding) error {
	f := fields(body)
	var input []byte
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		v := f.Skip()
		understood := false
		switch string(k) {
		case "input":
			input, understood = v, true
		case "model":
			understood = true
		case "dimensions":
			e.Dimensions = countOf(v)
			understood = e.Dimensions > 0
		case "encoding_format":
			e.Base64 = wordIs(v, "base64")
			understood = e.Base64 || wordIs(v, "float")
		case "user":
			if understood = isString(v); len(v) > 2 && understood {
				e.User = inside(v)
			}
		}
		if !understood && !isHollow(v) {
			e.Unknown = addPath(e.Unknown, string(k))
		}
	}
	if !f.End() {
		return malformed("embeddings request")
	}
	return readInput(input, e)
}

// readInput reads the texts to embed: one, or a list of them.
func readInput(v []byte, e *dialect.Embedding) error {
	if isString(v) {
		e.Inputs = append(e.Inputs, inside(v))
		return nil
	}
	if isArray(v) {
		c := jsonscan.Cursor{B: v}
		c.Enter('[')
		for ok := c.More(']', true); ok; ok = c.More(']', false) {
			text := inside(c.Skip())
			if text == nil {
				return inexpressible("an input in tokens", "send it as a text")
			}
			e.Inputs = append(e.Inputs, text)
		}
	}
	if len(e.Inputs) == 0 {
		return inexpressible("a request for vectors without an input", "send a text, or a list of texts")
	}
	return nil
}

// appendEmbedding appends a request of embeddings.
func appendEmbedding(dst []byte, e *dialect.Embedding, model string) (out []byte, left dialect.FieldSet, err error) {
	dst = append(appendQuoted(append(dst, `{"model":`...), model), `,"input":`...)
	switch len(e.Inputs) {
	case 0:
		dst = append(dst, "[]"...)
	case 1:
		dst = appendText(dst, "", e.Inputs[0])
	default:
		for i, text := range e.Inputs {
			dst = appendText(dst, listed(i), text)
		}
		dst = append(dst, ']')
	}
	dst = appendCount(dst, `,"dimensions":`, e.Dimensions)
	if e.Base64 {
		dst = append(dst, `,"encoding_format":"base64"`...)
	}
	if e.TaskType != nil {
		left.Add(dialect.FieldTaskType)
	}
	if e.Title != nil {
		left.Add(dialect.FieldTitle)
	}
	return append(appendWritten(dst, `,"user":`, e.User), '}'), left, nil
}

// vector is a vector with the index of its input.
type vector struct {
	index int
	value dialect.Raw
}

// readVectors reads an answer of embeddings. Its vectors may come in any order.
func readVectors(body []byte, v *dialect.Vectors) error {
	f := fields(body)
	var data []byte
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "data":
			data = f.Skip()
		case "usage":
			readUsage(&f.Cursor, &v.Usage)
		default:
			f.Skip()
		}
	}
	if !f.End() || !isArray(data) {
		return malformed("embeddings answer")
	}
	var found []vector
	c := jsonscan.Cursor{B: data}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		item := c.Skip()
		value := memberOf(item, "embedding")
		if !isArray(value) && !isString(value) {
			return fmt.Errorf("%w: a vector is neither a list of numbers nor base64", dialect.ErrMalformed)
		}
		next := vector{index: len(found), value: value}
		if index := memberOf(item, "index"); isNumber(index) {
			next.index = indexOf(index)
		}
		found = append(found, next)
	}
	slices.SortStableFunc(found, func(a, b vector) int { return a.index - b.index })
	for i, item := range found {
		if item.index != i {
			return fmt.Errorf("%w: there is not one vector for each input", dialect.ErrMalformed)
		}
		v.Items = append(v.Items, item.value)
	}
	return nil
}

// appendVectors appends an answer of embeddings, encoded as the client asked for; nothing with an error.
func appendVectors(dst []byte, v *dialect.Vectors, asked *dialect.Embedding, model string) (out []byte, err error) {
	start := len(dst)
	dst = append(dst, `{"object":"list","data":[`...)
	for i, item := range v.Items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"object":"embedding","index":`...), int64(i), 10)
		dst = append(dst, `,"embedding":`...)
		switch {
		case isString(item) == asked.Base64:
			dst = appendCompact(dst, item)
		case asked.Base64:
			dst, err = appendFloat32s(dst, item)
		default:
			dst, err = appendNumbers(dst, item)
		}
		if err != nil {
			return dst[:start], err
		}
		dst = append(dst, '}')
	}
	dst = appendQuoted(append(dst, `],"model":`...), model)
	dst = strconv.AppendInt(append(dst, `,"usage":{"prompt_tokens":`...), v.Usage.Input, 10)
	dst = strconv.AppendInt(append(dst, `,"total_tokens":`...), v.Usage.Input, 10)
	return append(dst, "}}"...), nil
}

// appendFloat32s appends a list of numbers as base64 of little-endian float32.
func appendFloat32s(dst, list []byte) ([]byte, error) {
	var raw []byte
	c := jsonscan.Cursor{B: list}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		x, err := strconv.ParseFloat(bytesx.String(c.Skip()), 32)
		if err != nil {
			return dst, fmt.Errorf("%w: a vector holds what is no number", dialect.ErrMalformed)
		}
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(x)))
	}
	dst = base64.StdEncoding.AppendEncode(append(dst, '"'), raw)
	return append(dst, '"'), nil
}

// appendNumbers appends base64 of little-endian float32, a JSON string, as a list of numbers.
func appendNumbers(dst, text []byte) ([]byte, error) {
	raw, err := base64.StdEncoding.AppendDecode(nil, jsonscan.AppendDecoded(nil, inside(text)))
	if err != nil || len(raw)%4 != 0 {
		return dst, fmt.Errorf("%w: a vector is not base64 of float32", dialect.ErrMalformed)
	}
	dst = append(dst, '[')
	for i := 0; i < len(raw); i += 4 {
		x := float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[i:])))
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return dst, fmt.Errorf("%w: a vector holds what is no number", dialect.ErrMalformed)
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, x, 'g', -1, 32)
	}
	return append(dst, ']'), nil
}
