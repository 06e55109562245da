package openai

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// requestReader reads a request of chat/completions or completions into a Chat.
type requestReader struct {
	op dialect.Op
	c  *dialect.Chat

	asked     bool   // there is something to answer: messages, or a prompt
	began     bool   // a message came that is no instruction
	calls     int    // of the old form, which has no ids
	newLimit  bool   // max_completion_tokens came: it goes before max_tokens
	among     []byte // a choice among some of the tools, as written; read last, when all are known
	firstUser bool   // user came: it goes before what else names whom the client asks for
}

// readChat reads a request of chat/completions.
func readChat(body []byte, c *dialect.Chat) error {
	r := requestReader{op: dialect.OpChat, c: c}
	return r.read(body)
}

func (r *requestReader) read(body []byte) error {
	f := fields(body)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		if err := r.member(&f, k); err != nil && !f.Bad {
			return err
		}
	}
	switch {
	case !f.End():
		return malformed(r.op.String() + " request")
	case !r.asked:
		return inexpressible("a request without "+listNames[r.op], "send at least one message")
	case r.among != nil:
		return r.allowed(r.among)
	}
	return nil
}

// member reads the top-level member k, on whose value f stands.
func (r *requestReader) member(f *jsonscan.Fields, k []byte) error {
	if string(k) == "messages" && r.op == dialect.OpChat {
		return r.messages(f)
	}
	v := f.Skip()
	if len(v) == 0 || v[0] == 'n' {
		return nil
	}
	understood := false
	var err error
	switch string(k) {
	case "model", "stream", "stream_options": // the caller's, not the question's
		return nil
	case "prompt":
		if r.op == dialect.OpCompletions {
			return r.prompt(v)
		}
	case "suffix", "echo", "best_of":
		if r.op == dialect.OpCompletions {
			understood, err = r.completionOption(k, v)
		}
	case "tools", "functions", "tool_choice", "function_call", "parallel_tool_calls":
		if r.op == dialect.OpChat {
			understood, err = r.toolMember(k, v)
		}
	default:
		understood = r.sampling(k, v) || r.shape(k, v) || r.person(k, v)
	}
	if err == nil && !understood && !isHollow(v) {
		r.c.Unknown = addPath(r.c.Unknown, string(k))
	}
	return err
}

// sampling reads a member that says how tokens are chosen, and reports whether it understood all of it. What changes
// nothing anywhere, such as a penalty of 0, is as good as unsaid.
func (r *requestReader) sampling(k, v []byte) bool {
	c := r.c
	switch string(k) {
	case "max_tokens", "max_completion_tokens":
		return r.limit(k, v)
	case "temperature":
		return number(&c.Temperature, v)
	case "top_p":
		return number(&c.TopP, v)
	case "top_k": // vLLM, where -1 and 0 stand for all
		return isZero(v) || isNumber(v) && v[0] == '-' || number(&c.TopK, v)
	case "frequency_penalty":
		return isZero(v) || number(&c.FrequencyPenalty, v)
	case "presence_penalty":
		return isZero(v) || number(&c.PresencePenalty, v)
	case "seed":
		return number(&c.Seed, v)
	case "n":
		if c.Count = countOf(v); c.Count == 1 {
			c.Count = 0
			return true
		}
		return c.Count > 0
	case "stop":
		return r.stop(v)
	case "reasoning_effort":
		return r.effort(v)
	case "thinking":
		return r.thinking(v)
	}
	return false
}

// number sets to to v, if it is a number.
func number(to *dialect.Raw, v []byte) bool {
	if !isNumber(v) {
		return false
	}
	*to = v
	return true
}

func (r *requestReader) limit(k, v []byte) bool {
	n := countOf(v)
	if n == 0 {
		return false
	}
	if newName := string(k) == "max_completion_tokens"; newName || !r.newLimit {
		r.c.MaxTokens, r.newLimit = n, newName
	}
	return true
}

func (r *requestReader) stop(v []byte) bool {
	r.c.Stop = r.c.Stop[:0]
	if isString(v) {
		if len(v) > 2 {
			r.c.Stop = append(r.c.Stop, inside(v))
		}
		return true
	}
	if !isArray(v) {
		return false
	}
	all := true
	c := jsonscan.Cursor{B: v}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		if s := c.Skip(); isString(s) && len(s) > 2 {
			r.c.Stop = append(r.c.Stop, inside(s))
		} else {
			all = all && isHollow(s)
		}
	}
	return all
}

// effort reads reasoning_effort. None means that the model shall not think.
func (r *requestReader) effort(v []byte) bool {
	if !isString(v) {
		return false
	}
	r.c.Effort = inside(v)
	if wordIs(v, "none") {
		r.c.Thinking = dialect.ThinkingOff
	}
	return true
}

// thinking reads what DeepSeek, Zhipu and Anthropic's own compatible endpoint take: a type, and a budget of tokens
// that only Anthropic knows.
func (r *requestReader) thinking(v []byte) bool {
	if !isObject(v) {
		return false
	}
	f := fields(v)
	f.Enter('{')
	var budget int64
	thinking, understood := dialect.ThinkingUnsaid, true
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type":
			switch string(f.Word()) {
			case "enabled", "adaptive", "auto":
				thinking = dialect.ThinkingAdaptive
			case "disabled":
				thinking = dialect.ThinkingOff
			default:
				understood = false
			}
		case "budget_tokens":
			budget = f.Count()
		default:
			understood = isHollow(f.Skip()) && understood
		}
	}
	if thinking == dialect.ThinkingAdaptive && budget > 0 {
		thinking = dialect.ThinkingBudget
		r.c.Budget = budget
	}
	r.c.Thinking = thinking
	return understood && thinking != dialect.ThinkingUnsaid
}

// shape reads a member that says what the answer is made of.
func (r *requestReader) shape(k, v []byte) bool {
	chat := r.op == dialect.OpChat
	switch string(k) {
	case "logprobs":
		if r.c.LogProbs = chat && isTrue(v); !chat {
			return isZero(v) // tokens' probabilities have another form there
		}
		return isBool(v)
	case "top_logprobs":
		return isZero(v) || chat && number(&r.c.TopLogProbs, v)
	case "response_format":
		return chat && r.format(v)
	case "modalities":
		return chat && listsOnly(v, "text")
	case "verbosity":
		return wordIs(v, "medium")
	case "service_tier":
		return wordIs(v, "auto")
	case "store":
		return isBool(v) && !isTrue(v)
	}
	return false
}

// format reads response_format.
func (r *requestReader) format(v []byte) bool {
	if !isObject(v) {
		return false
	}
	c := r.c
	c.Format, c.Schema, c.SchemaName, c.SchemaDescription, c.SchemaStrict = dialect.FormatUnsaid, nil, nil, nil, nil
	understood := true
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type":
			switch string(f.Word()) {
			case "text":
				c.Format = dialect.FormatText
			case "json_object":
				c.Format = dialect.FormatJSON
			case "json_schema":
				c.Format = dialect.FormatSchema
			default:
				understood = false
			}
		case "json_schema":
			understood = r.schema(f.Skip()) && understood
		default:
			understood = isHollow(f.Skip()) && understood
		}
	}
	if c.Format == dialect.FormatSchema && c.Schema == nil {
		c.Format = dialect.FormatJSON // any object is what is left of it
	}
	return understood && c.Format != dialect.FormatUnsaid
}

func (r *requestReader) schema(v []byte) bool {
	if !isObject(v) {
		return isHollow(v)
	}
	understood := true
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		to, kind := (*[]byte)(nil), byte('{')
		switch string(k) {
		case "name":
			to, kind = &r.c.SchemaName, '"'
		case "description":
			to, kind = &r.c.SchemaDescription, '"'
		case "schema":
			to = &r.c.Schema
		case "strict":
			to, kind = &r.c.SchemaStrict, 't'
		}
		m := f.Skip()
		switch {
		case !isSet(m), kind == 't' && m[0] == 'f': // not strict is the default
		case to == nil || m[0] != kind:
			understood = understood && isHollow(m)
		case kind == '"':
			*to = inside(m)
		default:
			*to = some(m)
		}
	}
	return understood
}

// person reads a member that says whom the client asks for. user goes before the names of other conventions.
func (r *requestReader) person(k, v []byte) bool {
	switch string(k) {
	case "user":
		return r.name(v, true)
	case "safety_identifier":
		return r.name(v, false)
	case "metadata":
		if !isObject(v) {
			return false
		}
		understood := true
		f := fields(v)
		f.Enter('{')
		for m, ok := f.Key(true); ok; m, ok = f.Key(false) {
			id := string(m) == "user_id"
			understood = (id && r.name(f.Skip(), false) || !id && isHollow(f.Skip())) && understood
		}
		return understood
	}
	return false
}

// name takes a name of the person, and reports whether it is the one that counts.
func (r *requestReader) name(v []byte, first bool) bool {
	if !isString(v) || len(v) == 2 {
		return isHollow(v)
	}
	if have := r.c.User; have != nil && !first {
		return string(have) == string(inside(v))
	} else if have != nil && !r.firstUser && string(have) != string(inside(v)) {
		r.c.Unknown = addPath(r.c.Unknown, "safety_identifier")
	}
	r.c.User, r.firstUser = inside(v), first
	return true
}
