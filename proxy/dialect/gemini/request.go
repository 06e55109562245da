package gemini

import (
	"bytes"
	"fmt"
	"math"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// AppendRequest implements dialect.Translator. Schemas go out as the JSON schemas that they are, in the members that
// the API has for those.
func (Codec) AppendRequest(dst []byte, c *dialect.Chat, model string, stream bool) ([]byte, dialect.FieldSet, error) {
	w := writer{dst: append(dst, '{'), chat: c, gen: generationOf(model), stream: stream}
	w.contents()
	w.tools()
	w.choice()
	w.config()
	w.wishes()
	if w.err != nil {
		return dst, 0, w.err
	}
	return append(w.dst, '}'), w.left, nil
}

// writer writes one request. The first error stays.
type writer struct {
	dst    []byte
	chat   *dialect.Chat
	gen    generation
	stream bool
	left   dialect.FieldSet
	err    error

	opened bool // the object that is written has members; the list of parts has elements
	spoken bool // there is a content
	fresh  int  // the first turn of the model after the user's last words
	called bool // the content that is open holds a call
}

// cannot is for what must not be left out.
func (w *writer) cannot(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format+"; it %w", append(args, dialect.ErrInexpressible)...)
	}
}

// member begins a member of the object that is written, or an element of a list.
func (w *writer) member(head string) {
	if w.opened {
		w.dst = append(w.dst, ',')
	}
	w.opened = true
	w.dst = append(w.dst, head...)
}

// value writes a member, if there is a value.
func (w *writer) value(head string, v dialect.Raw) {
	if v != nil {
		w.member(head)
		w.dst = append(w.dst, v...)
	}
}

// tools writes the functions that the model may call.
func (w *writer) tools() {
	for i := range w.chat.Tools {
		t := &w.chat.Tools[i]
		if i == 0 {
			w.dst = append(w.dst, `,"tools":[{"functionDeclarations":[`...)
		} else {
			w.dst = append(w.dst, ',')
		}
		w.dst = appendText(w.dst, `{"name":`, t.Name)
		if t.Description != nil {
			w.dst = appendText(w.dst, `,"description":`, t.Description)
		}
		if t.Schema != nil {
			w.dst = append(append(w.dst, `,"parametersJsonSchema":`...), t.Schema...)
		}
		w.dst = append(w.dst, '}')
		if string(t.Strict) == "true" {
			w.left.Add(dialect.FieldToolStrict)
		}
		if t.Cache != nil {
			w.left.Add(dialect.FieldCache)
		}
	}
	if len(w.chat.Tools) > 0 {
		w.dst = append(w.dst, "]}]"...)
	}
}

// choice writes whether and which functions the model must call. There is no word against several calls at once.
func (w *writer) choice() {
	c := w.chat
	if string(c.Parallel) == "false" {
		w.left.Add(dialect.FieldParallel)
	}
	switch {
	case c.Choice == dialect.ChoiceUnsaid:
		return
	case len(c.Tools) == 0:
		if c.Choice == dialect.ChoiceAny || c.Choice == dialect.ChoiceNamed {
			w.left.Add(dialect.FieldChoice)
		}
		return
	}
	w.dst = append(w.dst, `,"toolConfig":{"functionCallingConfig":{"mode":"`...)
	w.dst = append(append(w.dst, [...]string{"", "AUTO", "NONE", "ANY", "ANY"}[c.Choice]...), '"')
	if c.Choice == dialect.ChoiceNamed {
		w.dst = append(appendText(w.dst, `,"allowedFunctionNames":[`, c.ChoiceName), ']')
	}
	w.dst = append(w.dst, "}}"...)
}

// config writes the generationConfig.
func (w *writer) config() {
	const head = `,"generationConfig":{`
	w.dst = append(w.dst, head...)
	w.opened = false
	c := w.chat
	if c.MaxTokens > 0 {
		w.member("")
		w.dst = appendNumber(w.dst, `"maxOutputTokens":`, c.MaxTokens)
	}
	w.value(`"temperature":`, c.Temperature)
	w.value(`"topP":`, c.TopP)
	w.value(`"topK":`, c.TopK)
	w.sampling()
	w.stops()
	w.format()
	w.logprobs()
	w.thinking()
	if w.opened {
		w.dst = append(w.dst, '}')
	} else {
		w.dst = w.dst[:len(w.dst)-len(head)]
	}
}

// sampling writes what not every model takes. The end of a stream of several answers cannot be told.
func (w *writer) sampling() {
	c := w.chat
	switch seed := number(c.Seed); {
	case c.Seed == nil:
	case seed < math.MinInt32 || seed > math.MaxInt32:
		w.left.Add(dialect.FieldSeed)
	default:
		w.value(`"seed":`, c.Seed)
	}
	switch {
	case c.Count <= 1:
	case w.gen.current() || w.stream:
		w.left.Add(dialect.FieldCount)
	default:
		w.member("")
		w.dst = appendNumber(w.dst, `"candidateCount":`, c.Count)
	}
	w.penalty(`"presencePenalty":`, c.PresencePenalty, dialect.FieldPresencePenalty)
	w.penalty(`"frequencyPenalty":`, c.FrequencyPenalty, dialect.FieldFrequencyPenalty)
}

func (w *writer) penalty(head string, v dialect.Raw, f dialect.Field) {
	switch {
	case w.gen.penalizes():
		w.value(head, v)
	case v != nil && number(v) != 0:
		w.left.Add(f)
	}
}

// stopsMost is how many stop sequences the API takes.
const stopsMost = 5

func (w *writer) stops() {
	n := 0
	for _, s := range w.chat.Stop {
		switch {
		case len(s) == 0:
			continue
		case n == stopsMost:
			w.left.Add(dialect.FieldStop)
			w.dst = append(w.dst, ']')
			return
		case n == 0:
			w.member(`"stopSequences":[`)
		default:
			w.dst = append(w.dst, ',')
		}
		w.dst = appendText(w.dst, "", s)
		n++
	}
	if n > 0 {
		w.dst = append(w.dst, ']')
	}
}

// format writes what the answer's text must be. The API always keeps to a schema.
func (w *writer) format() {
	c := w.chat
	switch c.Format {
	case dialect.FormatUnsaid:
	case dialect.FormatText:
		w.member(`"responseMimeType":"text/plain"`)
	case dialect.FormatJSON, dialect.FormatSchema:
		w.member(`"responseMimeType":"application/json"`)
	}
	if c.Format == dialect.FormatSchema {
		w.value(`"responseJsonSchema":`, c.Schema)
		if string(c.SchemaStrict) == "false" {
			w.left.Add(dialect.FieldSchemaStrict)
		}
		if len(c.SchemaDescription) > 0 {
			w.left.Add(dialect.FieldSchemaDescription)
		}
	}
}

// logprobs asks for the probabilities of tokens, which ended with 3.
func (w *writer) logprobs() {
	c := w.chat
	switch {
	case !c.LogProbs:
		return
	case w.gen.current():
		w.left.Add(dialect.FieldLogProbs)
		return
	}
	w.member(`"responseLogprobs":true`)
	if number(c.TopLogProbs) > 0 {
		w.value(`"logprobs":`, c.TopLogProbs)
	}
}

// wishes tells what the API has no word for.
func (w *writer) wishes() {
	if w.chat.User != nil {
		w.left.Add(dialect.FieldUser)
	}
}

// sniff is the media type that the beginning of a file's base64 tells; nil where it does not.
func sniff(data dialect.Written) dialect.Written {
	for _, kind := range [...][2]string{
		{"iVBORw0KGgo", "image/png"}, {"/9j/", "image/jpeg"}, {"R0lGOD", "image/gif"}, {"UklGR", "image/webp"}, {"JVBERi0", "application/pdf"},
	} {
		if bytes.HasPrefix(data, []byte(kind[0])) {
			return dialect.Written(kind[1])
		}
	}
	return nil
}

// guess is the media type that a URL's ending tells; nil where it does not.
func guess(url dialect.Written) dialect.Written {
	path, _, _ := bytes.Cut(url, []byte("?"))
	path, _, _ = bytes.Cut(path, []byte("#"))
	if bytes.HasPrefix(url, []byte("https://www.youtube.com/")) || bytes.HasPrefix(url, []byte("https://youtu.be/")) {
		return dialect.Written("video/mp4")
	}
	dot := bytes.LastIndexByte(path, '.')
	if dot < 0 || len(path)-dot > 6 {
		return nil
	}
	for _, kind := range [...][2]string{
		{"png", "image/png"}, {"jpg", "image/jpeg"}, {"jpeg", "image/jpeg"}, {"gif", "image/gif"}, {"webp", "image/webp"},
		{"heic", "image/heic"}, {"heif", "image/heif"}, {"pdf", "application/pdf"}, {"txt", "text/plain"}, {"html", "text/html"},
		{"csv", "text/csv"}, {"json", "application/json"}, {"mp3", "audio/mp3"}, {"wav", "audio/wav"}, {"flac", "audio/flac"},
		{"ogg", "audio/ogg"}, {"mp4", "video/mp4"}, {"mov", "video/mov"}, {"webm", "video/webm"}, {"mpeg", "video/mpeg"},
	} {
		if bytes.EqualFold(path[dot+1:], []byte(kind[0])) {
			return dialect.Written(kind[1])
		}
	}
	return nil
}
