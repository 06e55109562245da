package sim

import "github.com/valyala/fastjson"

// planCompletions answers POST /v1/completions.
var planCompletions = planText(bodyModel, readCompletions, writeCompletion)

func writeCompletion(_ *query, out *answer, a *ask, rep *reply) {
	w := completionWriter{answer: out, ask: a, reply: rep, head: newHead(rep.id.id("cmpl-", 29), "text_completion", a.model, "")}
	if a.stream {
		w.stream()
	} else {
		w.whole()
	}
}

func readCompletions(q *query, a *ask, p *prompt) *failure {
	v := q.body
	p.label("completions")
	prompts, f := readPrompts(v, p, a)
	if f != nil {
		return f
	}
	if f := readSampling(v, a, "max_tokens"); f != nil {
		return f
	}
	if a.usage, f = includeUsage(v); f != nil {
		return f
	}
	echo, f := flag(v, "echo")
	if f != nil {
		return f
	}
	if a.top, f = integer(v, "logprobs", 0, 5, 0); f != nil {
		return f
	}
	a.logprobs = field(v, "logprobs") != nil
	perPrompt := a.choices
	a.choices = perPrompt * len(prompts)
	for i := 0; echo && i < a.choices; i++ {
		a.echo = append(a.echo, prompts[i/perPrompt])
	}
	return nil
}

// readPrompts reads "prompt": a text, texts, tokens, or lists of tokens. Each has its own choices.
func readPrompts(v *fastjson.Value, p *prompt, a *ask) ([]string, *failure) {
	m := field(v, "prompt")
	if m == nil {
		return nil, missing("prompt")
	}
	texts, f := readTexts(m, "prompt", p)
	if f != nil {
		return nil, f
	}
	a.topic = texts[len(texts)-1]
	if suffix := field(v, "suffix"); suffix != nil {
		p.add(suffix.GetStringBytes())
	}
	return texts, nil
}

// readTexts reads what embeddings and completions take for input: a string, strings, one list of token
// numbers or lists of them. Every token number is one token; its text is unknown and stays empty.
func readTexts(m *fastjson.Value, param string, p *prompt) ([]string, *failure) {
	if b, err := m.StringBytes(); err == nil {
		p.add(b)
		return []string{string(b)}, nil
	}
	list, err := m.Array()
	if err != nil {
		return nil, wrongType(param, "a string or an array", m)
	}
	if len(list) == 0 {
		return nil, invalid(param, "empty_array",
			"Invalid '%s': empty array. Expected an array with minimum length 1, but got an empty array instead.", param)
	}
	if list[0].Type() == fastjson.TypeNumber {
		p.addTokens(m, len(list))
		return []string{""}, nil
	}
	texts := make([]string, 0, len(list))
	for _, item := range list {
		switch item.Type() {
		case fastjson.TypeString:
			p.add(item.GetStringBytes())
			texts = append(texts, string(item.GetStringBytes()))
		case fastjson.TypeArray:
			p.addTokens(item, len(item.GetArray()))
			texts = append(texts, "")
		default:
			return nil, wrongType(param, "an array of strings or of token arrays", item)
		}
	}
	return texts, nil
}

// addTokens adds a list of n token numbers to p.
func (p *prompt) addTokens(list *fastjson.Value, n int) {
	p.label(string(list.MarshalTo(nil)))
	p.tokens += n
}

// completionWriter writes a reply as a text completion.
type completionWriter struct {
	*answer
	ask   *ask
	reply *reply
	head  head
}

// choice writes a range of the tokens of choice i.
func (w *completionWriter) choice(i, from, to int, finish string) {
	c := &w.reply.choices[i]
	w.put(`{"text":`)
	w.putJSON(span(c.text, c.ends, from, to))
	w.put(`,"index":`)
	w.putInt(i)
	w.put(`,"logprobs":`)
	w.logprobs(c, from, to)
	w.put(`,"finish_reason":`)
	w.body = appendNullable(w.body, finish)
	w.put("}")
}

// logprobs writes the columns of the older form of log probabilities, or null.
func (w *completionWriter) logprobs(c *choice, from, to int) {
	if !w.ask.logprobs {
		w.put("null")
		return
	}
	columns := [...]struct {
		name string
		cell func(i int)
	}{
		{`{"tokens":[`, func(i int) { w.putJSON(span(c.text, c.ends, i, i+1)) }},
		{`],"token_logprobs":[`, func(i int) { w.putFloat(logprob(span(c.text, c.ends, i, i+1), 0)) }},
		{`],"text_offset":[`, func(i int) { w.putInt(len(span(c.text, c.ends, 0, i))) }},
		{`],"top_logprobs":[`, func(i int) { w.alternatives(span(c.text, c.ends, i, i+1)) }},
	}
	for _, column := range columns {
		w.put(column.name)
		for i := from; i < to; i++ {
			if i > from {
				w.put(",")
			}
			column.cell(i)
		}
	}
	w.put("]}")
}

func (w *completionWriter) alternatives(token string) {
	w.put("{")
	for i := range w.ask.top {
		if i > 0 {
			w.put(",")
		}
		candidate := rival(token, i)
		w.putJSON(candidate)
		w.put(":")
		w.putFloat(logprob(candidate, i))
	}
	w.put("}")
}

func (w *completionWriter) whole() {
	w.putHead(w.head)
	for i := range w.reply.choices {
		if i > 0 {
			w.put(",")
		}
		c := &w.reply.choices[i]
		w.choice(i, 0, len(c.ends), chatFinish[c.finish])
	}
	w.put(`],"usage":`)
	w.putUsage()
	w.put("}")
}

func (w *completionWriter) stream() {
	w.grow(w.out+len(w.reply.choices)+2, w.head)
	for piece, more := 0, true; more; piece++ {
		more = false
		for i := range w.reply.choices {
			total := len(w.reply.choices[i].ends)
			if n := pieces(w.ask.pieces, total); piece < n {
				from, to := group(piece, n, total)
				w.event(i, from, to, "")
				more = true
			}
		}
	}
	for i := range w.reply.choices {
		w.event(i, 0, 0, chatFinish[w.reply.choices[i].finish])
	}
	if w.ask.usage {
		w.put("data: ")
		w.putHead(w.head)
		w.put(`],"usage":`)
		w.putUsage()
		w.put("}")
		w.endEvent(0)
	}
	w.put("data: [DONE]")
	w.endEvent(0)
}

func (w *completionWriter) event(i, from, to int, finish string) {
	w.put("data: ")
	w.putHead(w.head)
	w.choice(i, from, to, finish)
	w.put("]")
	if w.ask.usage {
		w.put(`,"usage":null`)
	}
	w.put("}")
	w.endEvent(to - from)
}
