package sim

import "github.com/valyala/fastjson"

// query is one request as a plan sees it. A plan's answer depends on nothing else.
type query struct {
	body *fastjson.Value
	own  *settings // from the request's headers
	arg  string    // what the path or a header says besides: Gemini's model, Anthropic's version

	recalled bool // the input holds what previous_response_id stands for
}

// planner answers one kind of request.
type planner func(b *brain, q *query) (*answer, *failure)

// reader fills a and p with what the query asks for; the model is in a already.
type reader func(q *query, a *ask, p *prompt) *failure

// planText is the planner of requests for text: read understands them, write gives the reply a dialect's form.
func planText(name func(q *query) (string, settingsList, *failure), read reader,
	write func(q *query, out *answer, a *ask, rep *reply)) planner {
	return func(b *brain, q *query) (*answer, *failure) {
		a, f := readText(q, name, read)
		if f != nil {
			return nil, f
		}
		a.obey(q.own)
		rep := think(a, b.seed)
		out := &answer{status: 200, contentType: typeJSON, in: rep.in, out: rep.out, thought: rep.thought, model: a.model, opts: a.opts}
		if a.stream {
			out.stream, out.contentType = true, typeEvents
		}
		write(q, out, a, rep)
		return out, nil
	}
}

func readText(q *query, name func(q *query) (string, settingsList, *failure), read reader) (*ask, *failure) {
	a := &ask{}
	var f *failure
	if a.model, a.opts, f = name(q); f != nil {
		return nil, f
	}
	var p prompt
	p.reset("chat")
	if f = read(q, a, &p); f != nil {
		return nil, f
	}
	a.in, a.media, a.key = max(p.tokens, 1), p.media, p.hash.Sum64()
	return a, nil
}

// bodyModel reads the model that the body names.
func bodyModel(q *query) (string, settingsList, *failure) { return modelOf(q.body) }
