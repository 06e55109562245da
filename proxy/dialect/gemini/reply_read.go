package gemini

import (
	"time"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// ReadReply implements dialect.Translator. A prompt that was blocked is an answer that the filter ended.
func (Codec) ReadReply(op dialect.Op, body []byte, r *dialect.Reply) error {
	r.Reset()
	if op != dialect.OpGenerate {
		return noForm("answer", op)
	}
	in := replyReader{reader: reader{lost: &r.Lost, scratch: &r.Scratch}, reply: r}
	var w rawResponse
	f := fields(body)
	w.read(&in.reader, &f)
	if in.err == nil && !f.End() {
		in.bad("the answer", "one complete JSON object")
	}
	r.ID, r.Model, r.Created, r.Usage = w.id, w.model, w.created, w.usage
	if w.candidates != nil {
		it := in.items("candidates", w.candidates)
		for it.next() && in.err == nil {
			in.candidate(it.Skip())
		}
	}
	if len(r.Answers) == 0 {
		r.Answers = append(r.Answers, dialect.Answer{Finish: dialect.FinishFilter})
	}
	return in.err
}

// rawResponse is the members of a response, whole or a piece of a stream.
type rawResponse struct {
	candidates dialect.Raw
	id, model  dialect.Written
	created    int64
	usage      dialect.Usage
	blocked    bool
}

func (w *rawResponse) read(r *reader, f *jsonscan.Fields) {
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "candidates":
			w.candidates = given(f.Skip())
		case "responseId", "response_id":
			w.id = r.text("", "responseId", f.Skip())
		case "modelVersion", "model_version":
			w.model = r.text("", "modelVersion", f.Skip())
		case "createTime", "create_time":
			w.created = secondsOf(inside(f.Skip()))
		case "usageMetadata", "usage_metadata":
			readUsage(&f.Cursor, &w.usage)
		case "promptFeedback", "prompt_feedback":
			w.blocked = readBlocked(&f.Cursor) || w.blocked
		default:
			r.unknown("", k, f.Skip())
		}
	}
}

// secondsOf is a time in seconds since 1970, 0 for what is none.
func secondsOf(text dialect.Written) int64 {
	t, err := time.Parse(time.RFC3339Nano, bytesx.String(text))
	if err != nil {
		return 0
	}
	return max(t.Unix(), 0)
}

// rawCandidate is the members of a candidate.
type rawCandidate struct {
	index           int
	parts, logprobs dialect.Raw
	reason          string
}

// read reads the candidate v, which is the i-th if it tells no index.
func (w *rawCandidate) read(r *reader, v dialect.Raw, i int) {
	*w = rawCandidate{index: i}
	f, ok := r.object("candidates", v)
	for k, ok := f.Key(ok); ok; k, ok = f.Key(false) {
		v := f.Skip()
		switch string(k) {
		case "index":
			w.index = int(min(countOf(v), most))
		case "content":
			w.parts = r.spoken(v)
		case "finishReason", "finish_reason":
			if reasoned(v, "FINISH_REASON_UNSPECIFIED") {
				w.reason = wordOf(v)
			}
		case "logprobsResult", "logprobs_result":
			w.logprobs = given(v)
		case "tokenCount", "token_count", "avgLogprobs", "avg_logprobs": // told elsewhere
		default:
			r.unknown("candidates.", k, v)
		}
	}
}

// spoken is the list of parts of an answer's content.
func (r *reader) spoken(v dialect.Raw) (list dialect.Raw) {
	f, ok := r.object("candidates.content", v)
	for k, ok := f.Key(ok); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "parts":
			list = given(f.Skip())
		case "role":
			f.Skip()
		default:
			r.unknown("candidates.content.", k, f.Skip())
		}
	}
	return list
}

// replyReader reads one answer.
type replyReader struct {
	reader
	reply *dialect.Reply
}

const answerPath = "candidates.content.parts."

func (in *replyReader) candidate(v dialect.Raw) {
	r := in.reply
	var w rawCandidate
	w.read(&in.reader, v, len(r.Answers))
	a := dialect.Answer{Index: w.index, From: len(r.Parts)}
	calls := 0
	if w.parts != nil {
		it := in.items(answerPath, w.parts)
		for it.next() && in.err == nil {
			parts, n := in.answerPart(&it.Fields)
			for i := range parts[:n] {
				if p := &parts[i]; p.Kind == dialect.PartCall {
					if calls++; len(p.ID) == 0 {
						p.ID = in.put(func(dst []byte) []byte { return appendCallID(dst, r.ID, w.index, calls) })
					}
				}
				r.Parts = append(r.Parts, parts[i])
			}
		}
	}
	a.To, a.Finish = len(r.Parts), finishOf(w.reason, calls > 0)
	if w.logprobs != nil {
		a.LogProbs = in.put(func(dst []byte) []byte { return appendChatLogprobs(dst, w.logprobs) })
	}
	r.Answers = append(r.Answers, a)
}

// answerPart reads the part of an answer at f. What the provider's own tools did has no word.
func (r *reader) answerPart(f *jsonscan.Fields) (parts [2]dialect.Part, n int) {
	var w rawPart
	w.read(r, f, answerPath)
	switch {
	case f.Bad:
		r.bad(answerPath, "a list of objects")
	case w.own != "":
		addPath(r.lost, answerPath, []byte(w.own))
	case w.result != nil:
		addPath(r.lost, answerPath, []byte("functionResponse"))
	case w.file != nil:
		addPath(r.lost, answerPath, []byte("fileData"))
	default:
		return r.said(&w, answerPath)
	}
	return parts, 0
}

// appendCallID appends the id of a call that has none: that of its answer and its ordinal, from 1, in the characters
// that every dialect takes.
func appendCallID(dst []byte, answer dialect.Written, index, call int) []byte {
	dst = append(dst, "call_"...)
	for _, ch := range answer {
		if ch == '-' || ch == '_' || ch-'0' <= 9 || ch|0x20-'a' < 26 {
			dst = append(dst, ch)
		}
	}
	if index > 0 {
		dst = appendNumber(dst, "_", int64(index))
	}
	return appendNumber(dst, "_", int64(call))
}

// finishOf is why an answer ended. One with calls ends with STOP, too. That the model's call was no call, or why else
// the model gave up, has no word; and an answer that could be continued by a token can be so by Gemini's clients only.
func finishOf(reason string, called bool) dialect.Finish {
	switch reason {
	case "STOP":
		if called {
			return dialect.FinishCalls
		}
		return dialect.FinishStop
	case "MAX_TOKENS", "CONTINUATION":
		return dialect.FinishLength
	case "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY",
		"IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION":
		return dialect.FinishFilter
	}
	return dialect.FinishUnsaid
}
