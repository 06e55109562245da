package openai

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// responsesReader reads a request of the responses API into a Chat.
type responsesReader struct {
	requestReader
	instructions, choice []byte // as written; read last, since the order of members says nothing
}

// readResponses reads a request of the responses API. What only a provider that has this API does (keeping the
// conversation, working in the background, running tools of its own) cannot be said to any other.
func readResponses(body []byte, c *dialect.Chat) error {
	r := responsesReader{requestReader: requestReader{op: dialect.OpResponses, c: c}}
	f := fields(body)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		if err := r.member(&f, k); err != nil && !f.Bad {
			return err
		}
	}
	switch {
	case !f.End():
		return malformed("responses request")
	case !r.asked:
		return inexpressible("a request without input", "send a text or at least one message")
	}
	if err := r.instruction(); err != nil {
		return err
	}
	return r.toolChoice()
}

// member reads the top-level member k, on whose value f stands.
func (r *responsesReader) member(f *jsonscan.Fields, k []byte) error {
	if string(k) == "input" {
		return r.conversation(&f.Cursor)
	}
	v := f.Skip()
	if !isSet(v) {
		return nil
	}
	understood := false
	switch string(k) {
	case "model", "stream", "stream_options": // the caller's, not the question's
		return nil
	case "instructions":
		r.instructions = v
		return nil
	case "tool_choice":
		r.choice = v
		return nil
	case "tools":
		return r.flatTools(v)
	case "previous_response_id", "conversation", "prompt", "background":
		return r.kept(k, v)
	case "parallel_tool_calls":
		understood, _ = r.toolMember(k, v)
	case "max_tool_calls": // counts calls of the provider's own tools, of which there are none
		understood = true
	case "max_output_tokens":
		r.c.MaxTokens = countOf(v)
		understood = r.c.MaxTokens > 0
	case "temperature", "top_p":
		understood = r.sampling(k, v)
	case "store", "service_tier":
		understood = r.shape(k, v)
	case "user", "safety_identifier", "metadata":
		understood = r.person(k, v)
	case "top_logprobs":
		understood = r.topLogProbs(v)
	case "truncation":
		understood = wordIs(v, "disabled")
	case "text", "reasoning":
		understood = r.settings(k, v)
	case "include":
		understood = r.include(v)
	}
	if !understood && !isHollow(v) {
		r.c.Unknown = addPath(r.c.Unknown, string(k))
	}
	return nil
}

// kept refuses what leans on something that the provider keeps, or keeps doing.
func (r *responsesReader) kept(k, v []byte) error {
	const ask = "send all of the conversation in input, or ask for a model whose provider has the responses API"
	switch {
	case isHollow(v), isBool(v) && !isTrue(v):
		return nil
	case string(k) == "prompt":
		return inexpressible("a prompt that the provider keeps", "send its text in instructions and input")
	case string(k) == "background":
		return inexpressible("a response in the background", "leave out background, or ask for a model whose provider has the responses API")
	case string(k) == "conversation":
		return inexpressible("a conversation that the provider keeps", ask)
	}
	return inexpressible("a conversation that the provider keeps (previous_response_id)", ask)
}

// topLogProbs reads top_logprobs, which asks for the logprobs themselves, too.
func (r *responsesReader) topLogProbs(v []byte) bool {
	if isZero(v) {
		return true
	}
	r.c.LogProbs = number(&r.c.TopLogProbs, v)
	return r.c.LogProbs
}

// include reads the list of what else the answer shall hold. Reasoning that only its signer can read is always given.
func (r *responsesReader) include(v []byte) bool {
	if !isArray(v) {
		return false
	}
	understood := true
	f := fields(v)
	f.Enter('[')
	for ok := f.More(']', true); ok; ok = f.More(']', false) {
		switch string(f.Word()) {
		case "reasoning.encrypted_content":
		case "message.output_text.logprobs":
			r.c.LogProbs = true
		default:
			understood = false
		}
	}
	return understood
}

// settings reads text or reasoning, which hold settings of their own.
func (r *responsesReader) settings(k, v []byte) bool {
	if !isObject(v) {
		return false
	}
	text := string(k) == "text"
	f := fields(v)
	f.Enter('{')
	for m, ok := f.Key(true); ok; m, ok = f.Key(false) {
		w := f.Skip()
		understood := isHollow(w)
		switch {
		case understood:
		case text && string(m) == "format":
			understood = r.textFormat(w)
		case text && string(m) == "verbosity":
			understood = wordIs(w, "medium")
		case text:
		case string(m) == "effort":
			understood = r.effort(w)
		case string(m) == "summary", string(m) == "generate_summary":
			understood = isString(w)
			r.c.ShowThinking = understood
		case string(m) == "context":
			understood = wordIs(w, "auto")
		case string(m) == "mode":
			understood = wordIs(w, "standard")
		}
		if !understood {
			r.c.Unknown = addPath(r.c.Unknown, memberPath(k, m))
		}
	}
	return true
}

// memberPath is the path of the member m of the member k.
func memberPath(k, m []byte) string { return string(k) + "." + string(m) }

// textFormat reads text.format, which is response_format without a level.
func (r *responsesReader) textFormat(v []byte) bool {
	if !isObject(v) {
		return false
	}
	c := r.c
	c.Format, c.Schema, c.SchemaName, c.SchemaDescription, c.SchemaStrict = dialect.FormatUnsaid, nil, nil, nil, nil
	understood := true
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		m := f.Skip()
		switch {
		case !isSet(m), string(k) == "strict" && isBool(m) && !isTrue(m): // not strict is the default
		case string(k) == "type":
			c.Format = formatOf(m)
		case string(k) == "name" && isString(m):
			c.SchemaName = inside(m)
		case string(k) == "description" && isString(m):
			c.SchemaDescription = inside(m)
		case string(k) == "schema" && isObject(m):
			c.Schema = some(m)
		case string(k) == "strict" && isTrue(m):
			c.SchemaStrict = m
		default:
			understood = understood && isHollow(m)
		}
	}
	if c.Format == dialect.FormatSchema && c.Schema == nil {
		c.Format = dialect.FormatJSON // any object is what is left of it
	}
	return understood && c.Format != dialect.FormatUnsaid
}

func formatOf(v []byte) dialect.Format {
	switch {
	case wordIs(v, "text"):
		return dialect.FormatText
	case wordIs(v, "json_object"):
		return dialect.FormatJSON
	case wordIs(v, "json_schema"):
		return dialect.FormatSchema
	}
	return dialect.FormatUnsaid
}

// responsesNames are what clients of the responses API call the fields that have another name in chat/completions.
// Those that it has no word for keep that name.
var responsesNames = [dialect.Fields]string{
	dialect.FieldLogProbs: "top_logprobs", dialect.FieldFormat: "text.format", dialect.FieldSchemaStrict: "text.format.strict",
	dialect.FieldSchemaDescription: "text.format.description",
	dialect.FieldThinking:          "reasoning", dialect.FieldEffort: "reasoning.effort", dialect.FieldToolStrict: "tools.strict",
	dialect.FieldCache: "prompt_cache_breakpoint", dialect.FieldSignature: "input.encrypted_content", dialect.FieldDetail: "input.content.detail",
	dialect.FieldName: "input.name", dialect.FieldSystemTurn: "input.role", dialect.FieldFailed: "input.output",
	dialect.FieldFileName: "input.content.filename",
}

// responsesFieldName is what clients of the responses API call a field.
func responsesFieldName(f dialect.Field) string {
	if f < dialect.Fields && responsesNames[f] != "" {
		return responsesNames[f]
	}
	return chatFieldName(f)
}
