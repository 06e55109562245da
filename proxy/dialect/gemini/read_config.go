package gemini

import (
	"math"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// config reads the generationConfig.
func (r *requestReader) config(v dialect.Raw) {
	var mime string
	f, ok := r.object("generationConfig", v)
	for k, ok := f.Key(ok); ok && r.err == nil; k, ok = f.Key(false) {
		v := f.Skip()
		switch string(k) {
		case "responseMimeType", "response_mime_type":
			mime = wordOf(v)
		case "responseSchema", "response_schema":
			if v = given(v); v != nil {
				r.chat.Schema = r.plainSchema("generationConfig.responseSchema", v)
			}
		case "responseJsonSchema", "response_json_schema", "_responseJsonSchema":
			if v = given(v); v != nil {
				r.chat.Schema = v
			}
		case "thinkingConfig", "thinking_config":
			r.thinking(v)
		case "stopSequences", "stop_sequences":
			r.stops(v)
		case "responseModalities", "response_modalities":
			r.modalities(k, v)
		case "mediaResolution", "media_resolution":
			r.unless("generationConfig.", k, v, `"MEDIA_RESOLUTION_UNSPECIFIED"`)
		default:
			r.setting(k, v)
		}
	}
	r.format(mime)
}

// setting reads a member that is a number or a switch.
func (r *requestReader) setting(k []byte, v dialect.Raw) {
	c := r.chat
	const path = "generationConfig."
	switch string(k) {
	case "maxOutputTokens", "max_output_tokens":
		c.MaxTokens = countOf(r.number(path, "maxOutputTokens", v))
	case "candidateCount", "candidate_count":
		c.Count = countOf(r.number(path, "candidateCount", v))
	case "temperature":
		c.Temperature = r.number(path, "temperature", v)
	case "topP", "top_p":
		c.TopP = r.number(path, "topP", v)
	case "topK", "top_k":
		c.TopK = r.number(path, "topK", v)
	case "seed":
		c.Seed = r.number(path, "seed", v)
	case "presencePenalty", "presence_penalty":
		c.PresencePenalty = r.number(path, "presencePenalty", v)
	case "frequencyPenalty", "frequency_penalty":
		c.FrequencyPenalty = r.number(path, "frequencyPenalty", v)
	case "responseLogprobs", "response_logprobs":
		c.LogProbs = string(v) == "true"
	case "logprobs":
		c.TopLogProbs = r.number(path, "logprobs", v)
	default:
		if string(v) != "false" {
			r.unknown("generationConfig.", k, v)
		}
	}
}

// format decides what the answer's text must be. One of a list of words, which the API calls text/x.enum, has no word
// elsewhere.
func (r *requestReader) format(mime string) {
	c := r.chat
	switch {
	case mime == "application/json" && c.Schema != nil:
		c.Format = dialect.FormatSchema
		return
	case mime == "application/json":
		c.Format = dialect.FormatJSON
	case mime == "text/plain":
		c.Format = dialect.FormatText
	case mime != "":
		addPath(r.lost, "generationConfig.responseMimeType", nil)
	}
	if c.Schema != nil {
		c.Schema = nil
		addPath(r.lost, "generationConfig.responseSchema", nil)
	}
}

func (r *requestReader) stops(v dialect.Raw) {
	r.chat.Stop = r.chat.Stop[:0]
	if v = given(v); v == nil {
		return
	}
	if v[0] != '[' {
		r.bad("generationConfig.stopSequences", "a list of texts")
		return
	}
	elements(v, func(_ int, v []byte) {
		if text := r.text("", "generationConfig.stopSequences", v); text != nil {
			r.chat.Stop = append(r.chat.Stop, text)
		}
	})
}

// modalities tells of the list unless it says what is the default.
func (r *requestReader) modalities(k []byte, v dialect.Raw) {
	plain := true
	elements(v, func(_ int, v []byte) {
		switch wordOf(v) {
		case "TEXT", "text", "MODALITY_UNSPECIFIED":
		default:
			plain = false
		}
	})
	if !plain {
		r.unknown("generationConfig.", k, v)
	}
}

// thinking reads how the model is to think: by a budget, as Gemini 2.5 takes it, or by a level.
func (r *requestReader) thinking(v dialect.Raw) {
	const path = "generationConfig.thinkingConfig."
	c := r.chat
	c.Thinking, c.Budget, c.Effort, c.ShowThinking = dialect.ThinkingUnsaid, 0, nil, false
	f, ok := r.object("generationConfig.thinkingConfig", v)
	for k, ok := f.Key(ok); ok; k, ok = f.Key(false) {
		v := f.Skip()
		switch string(k) {
		case "thinkingBudget", "thinking_budget":
			if v = r.number(path, "thinkingBudget", v); v != nil {
				c.Thinking, c.Budget = budgetOf(number(v))
			}
		case "thinkingLevel", "thinking_level":
			c.Effort = effortOf(wordOf(v))
			if c.Effort == nil {
				r.unless(path, k, v, `"THINKING_LEVEL_UNSPECIFIED"`)
			}
		case "includeThoughts", "include_thoughts":
			c.ShowThinking = string(v) == "true"
		default:
			r.unknown(path, k, v)
		}
	}
}

// budgetOf is what a thinkingBudget asks for: -1 leaves it to the model.
func budgetOf(budget float64) (dialect.Thinking, int64) {
	switch {
	case budget < 0:
		return dialect.ThinkingAdaptive, 0
	case budget < 1:
		return dialect.ThinkingOff, 0
	}
	return dialect.ThinkingBudget, int64(min(budget, math.MaxInt32))
}

// levels are the words for efforts, in order: upper case is what enums have, Google's examples have lower case.
var levels = [...]struct {
	effort dialect.Written
	name   string
}{{dialect.Written("minimal"), "MINIMAL"}, {dialect.Written("low"), "LOW"}, {dialect.Written("medium"), "MEDIUM"}, {dialect.Written("high"), "HIGH"}}

func effortOf(word string) dialect.Written {
	for _, l := range levels {
		if word == l.name || word == string(l.effort) {
			return l.effort
		}
	}
	return nil
}
