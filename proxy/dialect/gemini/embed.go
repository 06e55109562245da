package gemini

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// ReadEmbedding implements dialect.Embedder. The requests of one batch must differ in their texts only.
func (Codec) ReadEmbedding(op dialect.Op, body []byte, e *dialect.Embedding) error {
	e.Reset()
	r := embeddingReader{reader: reader{lost: &e.Unknown}, e: e}
	f := fields(body)
	switch op {
	case dialect.OpEmbed:
		r.request(&f, "")
	case dialect.OpBatchEmbed:
		r.batch(&f)
	default:
		return noForm("request for vectors", op)
	}
	if r.err == nil && !f.End() {
		r.bad("the body", "one complete JSON object")
	}
	if r.err == nil && len(e.Inputs) == 0 {
		r.bad("content.parts", "a list of texts")
	}
	return r.err
}

// embeddingReader reads one request for vectors.
type embeddingReader struct {
	reader
	e *dialect.Embedding
}

func (r *embeddingReader) batch(f *jsonscan.Fields) {
	f.Enter('{')
	for k, ok := f.Key(true); ok && r.err == nil; k, ok = f.Key(false) {
		switch string(k) {
		case "requests":
			it := r.items("requests", f.Skip())
			for it.next() && r.err == nil {
				r.request(&it.Fields, "requests.")
			}
		case "model":
			f.Skip()
		default:
			r.unknown("", k, f.Skip())
		}
	}
}

// request reads one text, and what is asked about it.
func (r *embeddingReader) request(f *jsonscan.Fields, path string) {
	var one dialect.Embedding
	f.Enter('{')
	for k, ok := f.Key(true); ok && r.err == nil; k, ok = f.Key(false) {
		v := f.Skip()
		switch string(k) {
		case "content":
			one.Inputs = append(one.Inputs[:0], r.content(path+"content", v))
		case "taskType", "task_type":
			if one.TaskType = r.text(path, "taskType", v); wordOf(v) == "TASK_TYPE_UNSPECIFIED" {
				one.TaskType = nil
			}
		case "title":
			one.Title = r.text(path, "title", v)
		case "outputDimensionality", "output_dimensionality":
			one.Dimensions = countOf(r.number(path, "outputDimensionality", v))
		case "model":
		default:
			r.unknown(path, k, v)
		}
	}
	switch {
	case r.err != nil:
	case len(one.Inputs) == 0:
		r.bad(path+"content", "an object with texts as parts")
	case len(r.e.Inputs) == 0:
		r.e.TaskType, r.e.Title, r.e.Dimensions = one.TaskType, one.Title, one.Dimensions
	case !bytes.Equal(one.TaskType, r.e.TaskType) || !bytes.Equal(one.Title, r.e.Title) || one.Dimensions != r.e.Dimensions:
		r.err = fmt.Errorf("a batch whose requests differ in taskType, title or outputDimensionality: send one batch for each; it %w",
			dialect.ErrInexpressible)
	}
	r.e.Inputs = append(r.e.Inputs, one.Inputs...)
}

// content is the text of a content's parts.
func (r *embeddingReader) content(path string, v dialect.Raw) (text dialect.Written) {
	var parts dialect.Raw
	f, ok := r.object(path, v)
	for k, ok := f.Key(ok); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "parts":
			parts = f.Skip()
		case "role":
			f.Skip()
		default:
			r.unknown(path+".", k, f.Skip())
		}
	}
	it := r.items(path+".parts", parts)
	for n := 0; it.next() && r.err == nil; n++ {
		it.Enter('{')
		for k, ok := it.Key(true); ok; k, ok = it.Key(false) {
			v := it.Skip()
			switch {
			case string(k) != "text":
				r.refuse(path+".parts.", k)
			case n == 0:
				text = r.text(path, ".parts.text", v)
			default:
				text = append(text, r.text(path, ".parts.text", v)...)
			}
		}
	}
	if text == nil {
		text = dialect.Written{}
	}
	return text
}

// AppendEmbedding implements dialect.Embedder. Vectors are always asked for as numbers.
func (Codec) AppendEmbedding(dst []byte, e *dialect.Embedding, model string) (out []byte, left dialect.FieldSet, err error) {
	if len(e.Inputs) == 0 {
		return dst, 0, fmt.Errorf("a request for vectors of no text: send one; it %w", dialect.ErrInexpressible)
	}
	dst = append(dst, `{"requests":`...)
	for i, text := range e.Inputs {
		dst = append(append(append(dst, listed(i)...), `{"model":"`...), "models/"...)
		dst = jsonscan.AppendText(dst, bytesx.Bytes(strings.TrimPrefix(model, "models/")))
		dst = append(appendText(dst, `","content":{"parts":[{"text":`, text), "}]}"...)
		if e.TaskType != nil {
			dst = appendText(dst, `,"taskType":`, e.TaskType)
		}
		if e.Title != nil {
			dst = appendText(dst, `,"title":`, e.Title)
		}
		if e.Dimensions > 0 {
			dst = appendNumber(dst, `,"outputDimensionality":`, e.Dimensions)
		}
		dst = append(dst, '}')
	}
	if e.User != nil {
		left.Add(dialect.FieldUser)
	}
	return append(dst, "]}"...), left, nil
}
