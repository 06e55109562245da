package openai

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// family is what a model's name tells about what it takes.
type family uint8

const (
	foreign   family = iota // no model of OpenAI, or one behind a name of its own
	plain                   // OpenAI's models that do not reason
	reasons                 // OpenAI's models that reason before they answer
	restrains               // those that can be told not to
)

// familyOf reads a model's name, without a vendor's prefix such as "openai/".
func familyOf(name string) family {
	name = name[strings.LastIndexByte(name, '/')+1:]
	switch {
	case len(name) > 1 && name[0] == 'o' && name[1]-'1' < 9:
		return reasons
	case strings.HasPrefix(name, "gpt-3"), strings.HasPrefix(name, "gpt-4"), strings.HasPrefix(name, "chatgpt-4"):
		return plain
	case !strings.HasPrefix(name, "gpt-") || len(name) < 5 || name[4]-'5' > 4, strings.HasPrefix(name, "gpt-5-chat"):
		return foreign
	case strings.HasPrefix(name, "gpt-5.") || name[4] > '5':
		return restrains
	}
	return reasons
}

// requestWriter writes a request of chat/completions.
type requestWriter struct {
	dst   []byte
	c     *dialect.Chat
	model string
	is    family
	left  dialect.FieldSet
	err   error
}

// appendChatRequest appends the request that an ordinary client of OpenAI would send for c.
func appendChatRequest(dst []byte, c *dialect.Chat, model string, stream bool) ([]byte, dialect.FieldSet, error) {
	w := requestWriter{dst: dst, c: c, model: model, is: familyOf(model)}
	w.dst = appendQuoted(append(w.dst, `{"model":`...), model)
	w.messages()
	w.tools()
	w.format()
	w.limits()
	w.thinking()
	w.sampling()
	if w.dst = appendWritten(w.dst, `,"user":`, c.User); stream {
		w.dst = append(w.dst, `,"stream":true,"stream_options":{"include_usage":true}`...)
	}
	if w.err != nil {
		return dst, w.left, w.err
	}
	return append(w.dst, '}'), w.left, nil
}

// fail keeps the first reason why the request cannot be written.
func (w *requestWriter) fail(what, advice string) {
	if w.err == nil {
		w.err = inexpressible(what, advice)
	}
}

// tools writes the tools and which of them may be called. What is the default where there are tools is left out, and
// without tools the API takes no choice.
func (w *requestWriter) tools() {
	c := w.c
	if len(c.Tools) == 0 {
		if c.Choice == dialect.ChoiceAny || c.Choice == dialect.ChoiceNamed {
			w.left.Add(dialect.FieldChoice)
		}
		return
	}
	w.dst = append(w.dst, `,"tools":[`...)
	for i := range c.Tools {
		t := &c.Tools[i]
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = appendText(w.dst, `{"type":"function","function":{"name":`, t.Name)
		w.dst = appendWritten(w.dst, `,"description":`, t.Description)
		w.dst = appendValue(w.dst, `,"parameters":`, t.Schema)
		if isTrue(t.Strict) {
			w.dst = append(w.dst, `,"strict":true`...)
		}
		w.dst = append(w.dst, "}}"...)
		w.unmarked(t.Cache)
	}
	w.dst = append(w.dst, ']')
	switch c.Choice {
	case dialect.ChoiceNone:
		w.dst = append(w.dst, `,"tool_choice":"none"`...)
	case dialect.ChoiceAny:
		w.dst = append(w.dst, `,"tool_choice":"required"`...)
	case dialect.ChoiceNamed:
		w.dst = append(appendText(w.dst, `,"tool_choice":{"type":"function","function":{"name":`, c.ChoiceName), "}}"...)
	}
	if isBool(c.Parallel) && !isTrue(c.Parallel) {
		w.dst = append(w.dst, `,"parallel_tool_calls":false`...)
	}
}

// unmarked tells that a mark of where the prompt cache may cut is left out: the API finds its own places, and most of
// its servers refuse members that they do not know.
func (w *requestWriter) unmarked(cache dialect.Raw) {
	if cache != nil {
		w.left.Add(dialect.FieldCache)
	}
}

// format writes what the answer must be. That it may be any text is the default.
func (w *requestWriter) format() {
	c := w.c
	switch c.Format {
	case dialect.FormatJSON:
		w.dst = append(w.dst, `,"response_format":{"type":"json_object"}`...)
	case dialect.FormatSchema:
		name := c.SchemaName
		if name == nil {
			name = dialect.Written("answer") // the API demands one
		}
		w.dst = appendText(w.dst, `,"response_format":{"type":"json_schema","json_schema":{"name":`, name)
		w.dst = appendWritten(w.dst, `,"description":`, c.SchemaDescription)
		w.dst = appendValue(w.dst, `,"schema":`, c.Schema)
		if isTrue(c.SchemaStrict) {
			w.dst = append(w.dst, `,"strict":true`...)
		}
		w.dst = append(w.dst, "}}"...)
	}
}

// limits writes how much may come. OpenAI's models that reason refuse max_tokens; every other server knows it.
func (w *requestWriter) limits() {
	c := w.c
	if c.MaxTokens > 0 {
		name := `,"max_tokens":`
		if w.is >= reasons {
			name = `,"max_completion_tokens":`
		}
		w.dst = strconv.AppendInt(append(w.dst, name...), c.MaxTokens, 10)
	}
	if c.Count > 1 {
		w.dst = strconv.AppendInt(append(w.dst, `,"n":`...), c.Count, 10)
	}
	w.stop()
}

// stopMost is how many stop sequences the API takes.
const stopMost = 4

func (w *requestWriter) stop() {
	stop := w.c.Stop
	if len(stop) > stopMost {
		stop = stop[:stopMost]
		w.left.Add(dialect.FieldStop)
	}
	for i, s := range stop {
		if i == 0 {
			w.dst = append(w.dst, `,"stop":[`...)
		} else {
			w.dst = append(w.dst, ',')
		}
		w.dst = appendText(w.dst, "", s)
	}
	if len(stop) > 0 {
		w.dst = append(w.dst, ']')
	}
}

// Budgets of thinking up to these many tokens are the efforts low and medium, larger ones high: what Google documents
// for the same parameter of its compatible endpoint.
const (
	lowBudget    = 1 << 10
	mediumBudget = 8 << 10
)

// thinking writes how much the model is to think. A model that thinks as much as it thinks fit does so unasked.
func (w *requestWriter) thinking() {
	c := w.c
	switch {
	case c.Effort != nil:
		w.dst = appendWritten(w.dst, `,"reasoning_effort":`, c.Effort)
	case c.Thinking == dialect.ThinkingOff:
		switch w.is {
		case plain: // never thinks
		case restrains:
			w.dst = append(w.dst, `,"reasoning_effort":"none"`...)
		default: // the others refuse "none", or think even then
			w.left.Add(dialect.FieldThinking)
		}
	case c.Thinking == dialect.ThinkingBudget && w.is == plain:
		w.left.Add(dialect.FieldThinking)
	case c.Thinking == dialect.ThinkingBudget:
		effort := `"high"`
		if c.Budget <= lowBudget {
			effort = `"low"`
		} else if c.Budget <= mediumBudget {
			effort = `"medium"`
		}
		w.dst = append(append(w.dst, `,"reasoning_effort":`...), effort...)
	}
}

// sampling writes how tokens are chosen.
func (w *requestWriter) sampling() {
	c := w.c
	w.dst = appendValue(w.dst, `,"temperature":`, c.Temperature)
	w.dst = appendValue(w.dst, `,"top_p":`, c.TopP)
	switch {
	case c.TopK == nil:
	case w.is == foreign:
		w.dst = appendValue(w.dst, `,"top_k":`, c.TopK)
	default: // OpenAI itself refuses it
		w.left.Add(dialect.FieldTopK)
	}
	w.dst = appendValue(w.dst, `,"frequency_penalty":`, c.FrequencyPenalty)
	w.dst = appendValue(w.dst, `,"presence_penalty":`, c.PresencePenalty)
	w.dst = appendValue(w.dst, `,"seed":`, c.Seed)
	if c.LogProbs {
		w.dst = append(w.dst, `,"logprobs":true`...)
		w.dst = appendValue(w.dst, `,"top_logprobs":`, c.TopLogProbs)
	}
}

// takesGemini says that a model is Google's: its endpoint wants its signatures back, every other server does not know
// them.
func (w *requestWriter) takesGemini() bool { return strings.Contains(w.model, "gemini") }

// fileIDs begin the names of files that OpenAI keeps; Anthropic's begin with "file_", and Google's are paths.
var fileIDs = []byte("file-")

// appendDataURL appends a data: URL as a JSON string.
func appendDataURL(dst []byte, media, data dialect.Written) []byte {
	if media == nil {
		media = dialect.Written("application/octet-stream")
	}
	dst = append(append(append(dst, `"data:`...), media...), ";base64,"...)
	return append(append(dst, data...), '"')
}

// fileName is a name for a document that has none, as the API demands one: by its ending it tells what the document is.
func fileName(media dialect.Written) dialect.Written {
	_, kind, _ := bytes.Cut(media, []byte("/"))
	switch string(kind) {
	case "plain":
		return dialect.Written("document.txt")
	case "markdown":
		return dialect.Written("document.md")
	case "html", "csv", "json", "xml":
		return dialect.Written("document." + string(kind))
	}
	return dialect.Written("document.pdf")
}

// audioFormat is what OpenAI calls a type of sound; nil if it takes none such.
func audioFormat(media dialect.Written) []byte {
	_, format, _ := bytes.Cut(media, []byte("/"))
	switch string(format) {
	case "wav", "x-wav", "wave":
		return formatWAV
	case "mp3", "mpeg":
		return formatMP3
	}
	return nil
}

var formatWAV, formatMP3 = []byte("wav"), []byte("mp3")

// chatNames are what clients of chat/completions call the fields.
var chatNames = [dialect.Fields]string{
	dialect.FieldTopP: "top_p", dialect.FieldTopK: "top_k", dialect.FieldTemperature: "temperature",
	dialect.FieldFrequencyPenalty: "frequency_penalty", dialect.FieldPresencePenalty: "presence_penalty",
	dialect.FieldSeed: "seed", dialect.FieldCount: "n", dialect.FieldStop: "stop", dialect.FieldLogProbs: "logprobs",
	dialect.FieldFormat: "response_format", dialect.FieldSchemaStrict: "response_format.json_schema.strict",
	dialect.FieldSchemaDescription: "response_format.json_schema.description",
	dialect.FieldThinking:          "reasoning_effort", dialect.FieldEffort: "reasoning_effort", dialect.FieldUser: "user",
	dialect.FieldParallel: "parallel_tool_calls", dialect.FieldChoice: "tool_choice", dialect.FieldToolStrict: "tools.function.strict",
	dialect.FieldCache: "cache_control", dialect.FieldSignature: "messages.extra_content", dialect.FieldDetail: "messages.content.image_url.detail",
	dialect.FieldName: "messages.name", dialect.FieldSystemTurn: "messages.role", dialect.FieldFailed: "messages.content",
	dialect.FieldFileName:   "messages.content.file.filename",
	dialect.FieldDimensions: "dimensions", dialect.FieldTaskType: "task_type", dialect.FieldTitle: "title",
}

func chatFieldName(f dialect.Field) string {
	if f >= dialect.Fields {
		return ""
	}
	return chatNames[f]
}

// appendTexts appends a content that is texts alone: a string where it is one, parts where it is several.
func appendTexts(dst []byte, parts []dialect.Part) []byte {
	switch len(parts) {
	case 0:
		return append(dst, `""`...)
	case 1:
		return appendText(dst, "", parts[0].Text)
	}
	for i := range parts {
		dst = appendTextPart(append(dst, listed(i)...), parts[i].Text)
	}
	return append(dst, ']')
}

// listed is what stands before the ith element of a list.
func listed(i int) string {
	if i == 0 {
		return "["
	}
	return ","
}

func appendTextPart(dst []byte, text dialect.Written) []byte {
	return append(appendText(dst, `{"type":"text","text":`, text), '}')
}

// appendFileText appends a document that is plain text, under its name: the API takes documents only in base64, and its servers
// read text best as text.
func appendFileText(dst []byte, p *dialect.Part) []byte {
	dst = append(dst, `{"type":"text","text":"`...)
	if len(p.Name) > 0 {
		dst = append(append(dst, p.Name...), `\n`...)
	}
	return append(append(dst, p.Text...), `"}`...)
}
