package anthropic

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// answerMost is the bound on an answer whose client named none, as the API demands one: every model since Claude 4 can
// answer that much, and clients of other dialects expect no less than a complete answer.
const answerMost = 32000

// AppendRequest implements dialect.Translator. The request is of version 2023-06-01 of the API, the last one in which
// older models take sampling parameters.
func (Codec) AppendRequest(dst []byte, c *dialect.Chat, model string, stream bool) ([]byte, dialect.FieldSet, error) {
	w := writer{dst: dst, chat: c, gen: generationOf(model)}
	w.planThinking()
	w.dst = appendQuoted(append(w.dst, `{"model":`...), model)
	w.dst = appendNumber(w.dst, `,"max_tokens":`, w.max)
	if stream {
		w.dst = append(w.dst, `,"stream":true`...)
	}
	w.sampling()
	w.thinking()
	w.output()
	w.wishes()
	w.tools()
	w.messages()
	if w.err != nil {
		return dst, 0, w.err
	}
	return append(w.dst, '}'), w.left, nil
}

// writer writes one request. The first error stays.
type writer struct {
	dst  []byte
	chat *dialect.Chat
	gen  generation
	left dialect.FieldSet
	err  error

	mode    dialect.Thinking // as the model takes it; unsaid: nothing is written
	budget  int64
	max     int64
	effort  dialect.Written
	role    string // of the message that is written; "" for a list within
	opened  string // the role of the message that is open
	blocks  int    // of the list that is open
	calls   int    // calls without an id so far
	results int    // results without an id so far
}

// cannot is for what must not be left out.
func (w *writer) cannot(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format+": %w", append(args, dialect.ErrInexpressible)...)
	}
}

// sampling writes what rules the choice of tokens. While a model thinks, the API takes a temperature of 1, no top_k and
// a top_p of 0.95 and more; its own models take one of temperature and top_p, and since 4.7 neither.
func (w *writer) sampling() {
	c := w.chat
	thinks := w.mode == dialect.ThinkingAdaptive || w.mode == dialect.ThinkingBudget
	refused := !w.gen.samples()
	t := c.Temperature
	switch {
	case t == nil:
	case (refused || thinks) && number(t) != 1:
		w.left.Add(dialect.FieldTemperature)
		t = nil
	case refused:
		t = nil
	case above(t, 1):
		w.left.Add(dialect.FieldTemperature)
		t = []byte("1")
	}
	w.value("temperature", t)
	switch p := c.TopP; {
	case p == nil:
	case refused, thinks && !above(p, 0.9499), t != nil && w.gen != foreign:
		if number(p) != 1 {
			w.left.Add(dialect.FieldTopP)
		}
	default:
		w.value("top_p", p)
	}
	switch {
	case c.TopK == nil:
	case refused, thinks:
		w.left.Add(dialect.FieldTopK)
	default:
		w.value("top_k", c.TopK)
	}
}

// value writes a top-level member, if there is a value.
func (w *writer) value(name string, v dialect.Raw) {
	if v != nil {
		w.dst = append(append(append(append(w.dst, `,"`...), name...), `":`...), v...)
	}
}

func number(v dialect.Raw) float64 {
	f, _ := strconv.ParseFloat(bytesx.String(v), 64)
	return f
}

func above(v dialect.Raw, n float64) bool { return number(v) > n }

// output writes effort and form of the answer.
func (w *writer) output() {
	c := w.chat
	if c.Format == dialect.FormatJSON {
		w.left.Add(dialect.FieldFormat)
	}
	schema := c.Format == dialect.FormatSchema && c.Schema != nil
	if schema && string(c.SchemaStrict) == "false" {
		w.left.Add(dialect.FieldSchemaStrict)
	}
	if schema && len(c.SchemaDescription) > 0 {
		w.left.Add(dialect.FieldSchemaDescription)
	}
	if w.effort == nil && !schema {
		return
	}
	w.dst = append(w.dst, `,"output_config":{`...)
	if w.effort != nil {
		w.dst = append(append(append(w.dst, `"effort":"`...), w.effort...), '"')
		if schema {
			w.dst = append(w.dst, ',')
		}
	}
	if schema {
		w.dst = append(append(w.dst, `"format":{"type":"json_schema","schema":`...), c.Schema...)
		w.dst = append(w.dst, '}')
	}
	w.dst = append(w.dst, '}')
}

// wishes writes the rest of the settings, and tells what the API has no word for.
func (w *writer) wishes() {
	c := w.chat
	if c.User != nil {
		w.dst = append(append(append(w.dst, `,"metadata":{"user_id":"`...), c.User...), `"}`...)
	}
	w.stops()
	for f, said := range [...]bool{
		dialect.FieldFrequencyPenalty: c.FrequencyPenalty != nil && number(c.FrequencyPenalty) != 0,
		dialect.FieldPresencePenalty:  c.PresencePenalty != nil && number(c.PresencePenalty) != 0,
		dialect.FieldSeed:             c.Seed != nil,
		dialect.FieldCount:            c.Count > 1,
		dialect.FieldLogProbs:         c.LogProbs,
	} {
		if said {
			w.left.Add(dialect.Field(f))
		}
	}
}

// stops writes the stop sequences but those of white space alone, which the API refuses.
func (w *writer) stops() {
	before := len(w.dst)
	w.dst = append(w.dst, `,"stop_sequences":[`...)
	n := 0
	for _, s := range w.chat.Stop {
		if len(trimEnd(s)) == 0 {
			w.left.Add(dialect.FieldStop)
			continue
		}
		if n++; n > 1 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(append(append(w.dst, '"'), s...), '"')
	}
	if w.dst = append(w.dst, ']'); n == 0 {
		w.dst = w.dst[:before]
	}
}

// trimEnd is a text without the white space at its end.
func trimEnd(t dialect.Written) dialect.Written {
	for len(t) > 0 {
		n := len(t)
		switch ch := t[n-1]; {
		case ch == ' ':
			t = t[:n-1]
			continue
		case ch != 'n' && ch != 'r' && ch != 't':
			return t
		}
		slashes := 0
		for slashes < n-1 && t[n-2-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return t
		}
		t = t[:n-2]
	}
	return t
}

// tools writes the tools and which of them the model must call. Without tools the API takes no choice.
func (w *writer) tools() {
	c := w.chat
	if len(c.Tools) == 0 {
		if c.Choice == dialect.ChoiceAny || c.Choice == dialect.ChoiceNamed {
			w.left.Add(dialect.FieldChoice)
		}
		return
	}
	w.dst = append(w.dst, `,"tools":[`...)
	for i := range c.Tools {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.tool(&c.Tools[i])
	}
	w.dst = append(w.dst, ']')
	single := string(c.Parallel) == "false"
	choice := c.Choice
	if choice == dialect.ChoiceUnsaid && single {
		choice = dialect.ChoiceAuto
	}
	if choice == dialect.ChoiceUnsaid {
		return
	}
	w.dst = append(w.dst, `,"tool_choice":{"type":"`...)
	w.dst = append(append(w.dst, [...]string{"", "auto", "none", "any", "tool"}[choice]...), '"')
	if choice == dialect.ChoiceNamed {
		w.dst = append(append(append(w.dst, `,"name":"`...), c.ChoiceName...), '"')
	}
	if single && choice != dialect.ChoiceNone {
		w.dst = append(w.dst, `,"disable_parallel_tool_use":true`...)
	}
	w.dst = append(w.dst, '}')
}

func (w *writer) tool(t *dialect.Tool) {
	w.dst = append(append(append(w.dst, `{"name":"`...), t.Name...), '"')
	if t.Description != nil {
		w.dst = append(append(append(w.dst, `,"description":"`...), t.Description...), '"')
	}
	w.dst = appendSchema(append(w.dst, `,"input_schema":`...), t.Schema)
	if t.Strict != nil {
		w.dst = append(append(w.dst, `,"strict":`...), t.Strict...)
	}
	w.cacheControl(t.Cache)
	w.dst = append(w.dst, '}')
}

// appendSchema appends the schema of a tool's arguments, whose type the API wants to read.
func appendSchema(dst []byte, schema dialect.Raw) []byte {
	if idle(schema) || schema[0] != '{' {
		return append(dst, `{"type":"object","properties":{}}`...)
	}
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: schema}}
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		if string(k) == "type" {
			return append(dst, schema...)
		}
		f.Skip()
	}
	return append(append(dst, `{"type":"object",`...), bytes.TrimSpace(schema[1:])...)
}

// cacheControl ends a block with the mark that it has.
func (w *writer) cacheControl(cache dialect.Raw) {
	if cache != nil {
		w.dst = append(append(w.dst, `,"cache_control":`...), cache...)
	}
}
