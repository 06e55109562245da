package sim

import (
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/valyala/fastjson"
)

// planEmbedContent answers POST …:embedContent.
func planEmbedContent(b *brain, q *query) (*answer, *failure) {
	return planEmbeds(b, q, []*fastjson.Value{q.body}, false)
}

// planEmbedContents answers POST …:batchEmbedContents.
func planEmbedContents(b *brain, q *query) (*answer, *failure) {
	return planEmbeds(b, q, q.body.GetArray("requests"), true)
}

// planEmbeds embeds what each of the requests holds; many says that the answer is a list.
func planEmbeds(b *brain, q *query, requests []*fastjson.Value, many bool) (*answer, *failure) {
	model, list, f := argModel(q)
	if f != nil {
		return nil, f
	}
	if len(requests) == 0 {
		return nil, badArgument("* BatchEmbedContentsRequest.requests: at least one request is required\n")
	}
	out := &answer{status: 200, contentType: typeJSON, model: model, opts: list}
	open, separator, end := `{"embedding":{"values":`, "", "}"
	if many {
		open, separator, end = `{"embeddings":[{"values":`, `},{"values":`, "}]"
	}
	out.put(open)
	seed := mix(b.seed ^ xxhash.Sum64String(model))
	for i, r := range requests {
		text, dims, f := embedRequest(r, model)
		if f != nil {
			return nil, f
		}
		if i > 0 {
			out.put(separator)
		}
		out.in += countTokens(text)
		out.putVector(embed(text, dims, seed))
	}
	out.put(end + `,"usageMetadata":{"promptTokenCount":`)
	out.putInt(out.in)
	out.put("}}")
	return out, nil
}

func embedRequest(r *fastjson.Value, model string) (text string, dims int, f *failure) {
	content := field(r, "content")
	if content == nil {
		return "", 0, badArgument("* EmbedContentRequest.content: content is required\n")
	}
	var all strings.Builder
	for _, part := range partsOf(content) {
		all.Write(part.GetStringBytes("text"))
	}
	dims = defaultDimensions(model)
	if m := member(r, "outputDimensionality"); m != nil {
		dims = m.GetInt()
	}
	if dims < 1 || dims > maxDimensions {
		return "", 0, badArgument("* EmbedContentRequest.output_dimensionality: must be from 1 to %d\n", maxDimensions)
	}
	return all.String(), dims, nil
}
