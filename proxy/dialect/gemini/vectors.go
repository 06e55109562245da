package gemini

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// ReadVectors implements dialect.Embedder.
func (Codec) ReadVectors(op dialect.Op, body []byte, v *dialect.Vectors) error {
	v.Reset()
	if op != dialect.OpEmbed && op != dialect.OpBatchEmbed {
		return noForm("answer with vectors", op)
	}
	var lost []string
	r := reader{lost: &lost}
	f := fields(body)
	f.Enter('{')
	for k, ok := f.Key(true); ok && r.err == nil; k, ok = f.Key(false) {
		switch string(k) {
		case "embedding", "embeddings":
			it := r.items("embeddings", f.Skip())
			for it.next() && r.err == nil {
				r.vector(it.Skip(), v)
			}
		case "usageMetadata", "usage_metadata":
			readUsage(&f.Cursor, &v.Usage)
		default:
			f.Skip()
		}
	}
	if r.err == nil && (!f.End() || len(v.Items) == 0) {
		r.bad("the answer", "one complete JSON object with vectors")
	}
	return r.err
}

func (r *reader) vector(v dialect.Raw, to *dialect.Vectors) {
	values := memberOf(v, "values")
	if len(values) == 0 || values[0] != '[' {
		r.bad("embeddings.values", "a list of numbers")
		return
	}
	to.Items = append(to.Items, values)
}

// AppendVectors implements dialect.Embedder. The API tells vectors as numbers, and no model.
func (Codec) AppendVectors(dst []byte, op dialect.Op, v *dialect.Vectors, _ *dialect.Embedding, _ string) (out []byte, err error) {
	one, end := op == dialect.OpEmbed, "}"
	switch {
	case one && len(v.Items) != 1:
		return dst, fmt.Errorf("%w: %d vectors for one text", dialect.ErrMalformed, len(v.Items))
	case one:
		out = append(dst, `{"embedding":`...)
	case op == dialect.OpBatchEmbed:
		out, end = append(dst, `{"embeddings":[`...), "}]"
	default:
		return dst, noForm("answer with vectors", op)
	}
	for i, item := range v.Items {
		if i > 0 {
			out = append(out, "},"...)
		}
		out = append(out, `{"values":`...)
		if text := inside(item); text == nil {
			out = append(out, item...)
		} else if out, err = appendFloats(out, text); err != nil {
			return dst, err
		}
	}
	if len(v.Items) == 0 {
		end = "]"
	}
	out = append(out, end...)
	if v.Usage.Known {
		out = append(appendNumber(out, `,"usageMetadata":{"promptTokenCount":`, v.Usage.Input), '}')
	}
	return append(out, '}'), nil
}

// appendFloats appends base64 of little-endian float32 as a list of numbers.
func appendFloats(dst []byte, text dialect.Written) ([]byte, error) {
	raw, err := base64.StdEncoding.AppendDecode(nil, jsonscan.AppendDecoded(nil, text))
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
