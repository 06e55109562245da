package sim

import (
	"strings"

	"github.com/valyala/fastjson"
)

// planContent answers POST …:generateContent.
var planContent = planText(argModel, readContents, writeContent)

// planContentEvents answers POST …:streamGenerateContent?alt=sse.
var planContentEvents = planText(argModel, streamed(readContents), writeContentEvents)

// planContentArray answers POST …:streamGenerateContent.
var planContentArray = planText(argModel, streamed(readContents), writeContentArray)

// streamed is read for the operation whose answer is always a stream.
func streamed(read reader) reader {
	return func(q *query, a *ask, p *prompt) *failure {
		a.stream = true
		return read(q, a, p)
	}
}

// argModel reads the model that the path names.
func argModel(q *query) (string, settingsList, *failure) { return pathModel(q.arg) }

// planContentTokens answers POST …:countTokens, for contents or for a whole request to generate some.
func planContentTokens(_ *brain, q *query) (*answer, *failure) {
	if inner := member(q.body, "generateContentRequest"); inner != nil {
		q.body = inner
	}
	a, f := readText(q, argModel, readContents)
	if f != nil {
		return nil, f
	}
	out := &answer{status: 200, contentType: typeJSON, model: a.model, opts: a.opts}
	out.put(`{"totalTokens":`)
	out.putInt(a.in)
	out.put(`,"promptTokensDetails":`)
	out.putModalities(a)
	out.put("}")
	return out, nil
}

// readContents reads what a request asks for.
func readContents(q *query, a *ask, p *prompt) *failure {
	v := q.body
	r := contentsReader{prompt: p, ask: a}
	if system := member(v, "systemInstruction"); system != nil {
		p.label("system")
		for i, part := range partsOf(system) {
			if f := r.part(part, "system", i); f != nil {
				return f
			}
		}
	}
	if f := r.readAll(v); f != nil {
		return f
	}
	if f := r.readTools(v); f != nil {
		return f
	}
	if config := member(v, "generationConfig"); config != nil {
		return r.readConfig(config)
	}
	return nil
}

// partsOf returns the parts of a content; a lone part stands for a list of one.
func partsOf(content *fastjson.Value) []*fastjson.Value {
	parts := content.Get("parts")
	if parts != nil && parts.Type() == fastjson.TypeObject {
		return []*fastjson.Value{parts}
	}
	return content.GetArray("parts")
}

// contentsReader goes through the contents of one request.
type contentsReader struct {
	*prompt
	ask  *ask
	last string // the role that has the last word
}

func (r *contentsReader) readAll(v *fastjson.Value) *failure {
	list := v.GetArray("contents")
	if len(list) == 0 {
		return badArgument("* GenerateContentRequest.contents: contents is not specified\n")
	}
	for _, c := range list {
		role := string(c.GetStringBytes("role"))
		switch role {
		case "":
			role = "user"
		case "model":
			role = "assistant"
		case "user", "function":
		default:
			return badArgument("Please use a valid role: user, model.")
		}
		r.last = "" // each content has a label of its own
		for i, part := range partsOf(c) {
			if f := r.part(part, role, i); f != nil {
				return f
			}
		}
	}
	return nil
}

// role begins what a role says, unless it is speaking already.
func (r *contentsReader) role(name string) {
	if r.last == name || name == "system" {
		return
	}
	r.last = name
	r.label(name)
	if name == "user" {
		r.ask.topic = ""
	}
}

func (r *contentsReader) part(part *fastjson.Value, role string, i int) *failure {
	if text := part.Get("text"); text != nil {
		if part.GetBool("thought") {
			r.tokens += countTokens(text.GetStringBytes())
			return nil
		}
		r.role(role)
		r.add(text.GetStringBytes())
		if role == "user" {
			r.ask.topic += string(text.GetStringBytes())
		}
		return nil
	}
	if c := member(part, "functionCall"); c != nil {
		r.role(role)
		r.call(c.GetStringBytes("name"), marshalled(field(c, "args")))
		return nil
	}
	if result := member(part, "functionResponse"); result != nil {
		r.last = "" // each result has a label of its own
		r.role("tool")
		r.add(functionResult(field(result, "response")))
		return nil
	}
	if member(part, "inlineData") == nil && member(part, "fileData") == nil {
		return badArgument("* GenerateContentRequest.contents.parts[%d].data: required oneof field 'data' must have one initialized field\n", i)
	}
	r.role(role)
	r.attach(part)
	return nil
}

// functionResult is what a function answered: the text that SDKs wrap into an object, or that object.
func functionResult(response *fastjson.Value) []byte {
	if response == nil {
		return nil
	}
	for _, key := range [...]string{"output", "result"} {
		if text := response.GetStringBytes(key); text != nil && response.GetObject().Len() == 1 {
			return text
		}
	}
	return response.MarshalTo(nil)
}

func (r *contentsReader) readTools(v *fastjson.Value) *failure {
	var tools []tool
	for i, group := range v.GetArray("tools") {
		declarations := member(group, "functionDeclarations")
		if declarations == nil {
			r.add(group.MarshalTo(nil)) // a tool that the provider itself would run
			continue
		}
		for k, d := range declarations.GetArray() {
			t := newTool(d, "parametersJsonSchema", "parameters_json_schema", "parameters")
			if t.name == "" {
				return badArgument("* GenerateContentRequest.tools[%d].function_declarations[%d].name: Invalid function name.\n", i, k)
			}
			tools = append(tools, t)
		}
	}
	r.offer(tools)
	tc, tools, f := contentToolChoice(v, tools)
	if f == nil && (r.last == "user" || tc.name != "") {
		r.ask.calls = tc.choose(tools, r.ask.topic)
	}
	return f
}

// contentToolChoice reads the mode of function calling, and keeps of the tools those that it allows.
func contentToolChoice(v *fastjson.Value, tools []tool) (tc toolChoice, allowed []tool, f *failure) {
	config := member(v, "toolConfig")
	if config != nil {
		config = member(config, "functionCallingConfig")
	}
	if config == nil {
		return tc, tools, nil
	}
	switch mode := string(config.GetStringBytes("mode")); mode {
	case "", "MODE_UNSPECIFIED", "AUTO", "VALIDATED":
	case "NONE":
		tc.never = true
	case "ANY":
		tc.required = true
	default:
		return tc, nil, badArgument("Invalid value at 'tool_config.function_calling_config.mode': %q", mode)
	}
	list := member(config, "allowedFunctionNames")
	if list == nil || len(list.GetArray()) == 0 {
		return tc, tools, nil
	}
	names := map[string]bool{}
	for _, n := range list.GetArray() {
		names[string(n.GetStringBytes())] = true
	}
	for _, t := range tools {
		if names[t.name] {
			allowed = append(allowed, t)
		}
	}
	if tc.required && len(allowed) == 1 {
		tc.name = allowed[0].name
	}
	return tc, allowed, nil
}

func (r *contentsReader) readConfig(c *fastjson.Value) (f *failure) {
	a := r.ask
	for _, bound := range [...]struct {
		key       string
		low, high int
		into      *int
	}{{"maxOutputTokens", 1, 1 << 31, &a.max}, {"candidateCount", 1, 8, &a.choices}} {
		if m := member(c, bound.key); m != nil {
			n, err := m.Int()
			if err != nil || n < bound.low || n > bound.high {
				return badArgument("* GenerateContentRequest.generation_config.%s: must be from %d to %d\n", bound.key, bound.low, bound.high)
			}
			*bound.into = n
		}
	}
	if t := field(c, "temperature"); t != nil && (t.GetFloat64() < 0 || t.GetFloat64() > 2) {
		return badArgument("* GenerateContentRequest.generation_config.temperature: temperature must be in the range [0.0, 2.0].\n")
	}
	if stops := member(c, "stopSequences"); stops != nil {
		for _, stop := range stops.GetArray() {
			a.stops = append(a.stops, string(stop.GetStringBytes()))
		}
	}
	if len(a.stops) > 5 {
		return badArgument("* GenerateContentRequest.generation_config.stop_sequences: at most 5 stop sequences are allowed\n")
	}
	r.readThinking(member(c, "thinkingConfig"))
	return r.readFormat(c)
}

func (r *contentsReader) readThinking(c *fastjson.Value) {
	if c == nil {
		return
	}
	include, budget := member(c, "includeThoughts"), member(c, "thinkingBudget")
	shown := include != nil && include.Type() == fastjson.TypeTrue
	r.ask.thinks = shown || member(c, "thinkingLevel") != nil
	if budget != nil {
		r.ask.thinks = budget.GetInt() != 0
	}
	r.ask.hidden = !shown
}

func (r *contentsReader) readFormat(c *fastjson.Value) *failure {
	kind := ""
	if m := member(c, "responseMimeType"); m != nil {
		kind = string(m.GetStringBytes())
	}
	schema := member(c, "responseJsonSchema")
	if schema == nil {
		schema = member(c, "responseSchema")
	}
	switch {
	case kind == "application/json":
		r.ask.schema, r.ask.json = schema, true
	case kind == "text/x.enum" && schema != nil && len(schema.GetArray("enum")) > 0:
		r.ask.schema = schema
	case kind == "" || kind == "text/plain":
		if schema != nil {
			return badArgument("Response schema is only supported with response_mime_type: application/json")
		}
	default:
		return badArgument("* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are %s\n",
			strings.Join([]string{"`text/plain`", "`application/json`", "`text/x.enum`"}, ", "))
	}
	return nil
}
