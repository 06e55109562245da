package gemini

import (
	"strconv"
	"time"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// AppendReply implements dialect.Translator. A call whose arguments are no JSON object is left out, as Gemini tells no
// half calls: a client must not run it. Unless the answer was cut short it ends with MALFORMED_FUNCTION_CALL then.
func (Codec) AppendReply(dst []byte, op dialect.Op, r *dialect.Reply) ([]byte, error) {
	if op != dialect.OpGenerate {
		return dst, noForm("answer", op)
	}
	dst = append(dst, `{"candidates":[`...)
	for i := range r.Answers {
		if i > 0 {
			dst = append(dst, ',')
		}
		a := &r.Answers[i]
		dst = appendCandidate(dst, a, r.Parts[a.From:a.To])
	}
	if len(r.Answers) == 0 {
		dst = appendCandidate(dst, &dialect.Answer{}, nil)
	}
	dst = append(dst, ']')
	if r.Usage.Known {
		dst = appendUsage(append(dst, `,"usageMetadata":`...), &r.Usage)
	}
	return append(appendOrigin(dst, r.ID, r.Model, r.Created), '}'), nil
}

// appendOrigin appends the members that tell where an answer comes from, with a comma before each.
func appendOrigin(dst []byte, id, model dialect.Written, created int64) []byte {
	if model != nil {
		dst = appendText(dst, `,"modelVersion":`, model)
	}
	if created > 0 {
		dst = time.Unix(created, 0).UTC().AppendFormat(append(dst, `,"createTime":"`...), time.RFC3339)
		dst = append(dst, '"')
	}
	if id != nil {
		dst = appendText(dst, `,"responseId":`, id)
	}
	return dst
}

const (
	openParts = `{"content":{"parts":[`
	shutParts = `],"role":"model"}`
)

// signsText says that a hidden thought is the signature of the text before it, as in a whole answer of Gemini's.
func signsText(p, before *dialect.Part) bool {
	return p.Kind == dialect.PartHidden && p.Signer == dialect.Gemini && before.Kind == dialect.PartText && len(before.Text) > 0
}

func appendCandidate(dst []byte, a *dialect.Answer, parts []dialect.Part) []byte {
	dst = append(dst, openParts...)
	start, broken := len(dst), false
	for i := range parts {
		at := len(dst)
		if at > start {
			dst = append(dst, ',')
		}
		from := len(dst)
		p, ok := parts[i], true
		if i > 0 && signsText(&p, &parts[i-1]) {
			dst = dst[:at] // it was told with the text
			continue
		}
		if i+1 < len(parts) && signsText(&parts[i+1], &p) {
			p.Signature, p.Signer = parts[i+1].Signature, parts[i+1].Signer
		}
		if dst, ok = appendAnswerPart(dst, &p); !ok {
			broken = true
		}
		if len(dst) == from {
			dst = dst[:at]
		}
	}
	if len(dst) == start {
		dst = append(dst, `{"text":""}`...)
	}
	dst = append(dst, shutParts...)
	dst = append(append(append(dst, `,"finishReason":"`...), reasonOf(a.Finish, broken)...), '"')
	dst = appendNumber(dst, `,"index":`, int64(a.Index))
	if a.LogProbs != nil {
		at := len(dst)
		var ok bool
		if dst, ok = appendLogprobs(append(dst, `,"logprobsResult":`...), a.LogProbs); !ok {
			dst = dst[:at]
		} else {
			dst = appendAverage(dst, a.LogProbs)
		}
	}
	return append(dst, '}')
}

// appendAverage appends the average of the tokens' probabilities.
func appendAverage(dst []byte, v dialect.Raw) []byte {
	sum, n := 0.0, 0
	var t token
	elements(memberOf(v, "content"), func(_ int, v []byte) {
		t.read(v)
		sum, n = sum+number(t.log), n+1
	})
	return strconv.AppendFloat(append(dst, `,"avgLogprobs":`...), sum/float64(n), 'g', -1, 64)
}

// reasonOf is the word for why an answer ended. broken says that a call was left out.
func reasonOf(f dialect.Finish, broken bool) string {
	switch {
	case f == dialect.FinishLength:
		return "MAX_TOKENS"
	case f == dialect.FinishFilter, f == dialect.FinishRefusal:
		return "SAFETY"
	case broken:
		return "MALFORMED_FUNCTION_CALL"
	}
	return "STOP"
}

// appendAnswerPart appends a part, or nothing if there is nothing to say; false if a call had to be left out.
func appendAnswerPart(dst []byte, p *dialect.Part) ([]byte, bool) {
	switch p.Kind {
	case dialect.PartText, dialect.PartRefusal:
		if len(p.Text) > 0 {
			dst = append(appendSigned(appendText(dst, `{"text":`, p.Text), p), '}')
		}
	case dialect.PartThinking, dialect.PartHidden:
		dst = appendThought(dst, p)
	case dialect.PartCall:
		return appendCall(dst, p)
	case dialect.PartImage, dialect.PartAudio, dialect.PartVideo, dialect.PartFile:
		dst = appendMedia(dst, p)
	case dialect.PartResult: // no part of an answer
	}
	return dst, true
}

// appendThought appends reasoning with its signature, if there is one.
func appendThought(dst []byte, p *dialect.Part) []byte {
	text, foreign := p.Text, p.Signer != dialect.Gemini && len(p.Signature) > 0
	if foreign && len(text) == 0 {
		text = dialect.Written(filler)
	}
	if dst = appendText(dst, `{"text":`, text); foreign || p.Kind == dialect.PartThinking {
		dst = append(dst, `,"thought":true`...)
	}
	return append(appendSigned(dst, p), '}')
}

// appendSigned appends the signature of a part, with a comma before it, if there is one.
func appendSigned(dst []byte, p *dialect.Part) []byte {
	if len(p.Signature) == 0 {
		return dst
	}
	return append(appendSignature(append(dst, `,"thoughtSignature":"`...), p), '"')
}

// appendCall appends a call, on one line, or nothing and false if its arguments are no JSON object.
func appendCall(dst []byte, p *dialect.Part) ([]byte, bool) {
	start := len(dst)
	dst = append(dst, `{"functionCall":{`...)
	if len(p.ID) > 0 {
		dst = append(appendText(dst, `"id":`, p.ID), ',')
	}
	dst = append(appendText(dst, `"name":`, p.Name), `,"args":`...)
	args := len(dst)
	dst, ok := dialect.AppendArgs(dst, p.Args)
	if !ok {
		return dst[:start], false
	}
	oneLine(dst[args:])
	return append(appendSigned(append(dst, '}'), p), '}'), true
}

// appendMedia appends a picture or sound, of which the media type must be known.
func appendMedia(dst []byte, p *dialect.Part) []byte {
	kind := p.Media
	switch {
	case p.Data != nil && kind == nil:
		if kind = sniff(p.Data); kind == nil {
			kind = dialect.Written("application/octet-stream")
		}
		fallthrough
	case p.Data != nil:
		dst = appendText(dst, `{"inlineData":{"mimeType":`, kind)
		return append(appendText(dst, `,"data":`, p.Data), "}}"...)
	case len(p.URL) > 0:
		dst = append(dst, `{"fileData":{`...)
		if kind != nil {
			dst = append(appendText(dst, `"mimeType":`, kind), ',')
		}
		return append(appendText(dst, `"fileUri":`, p.URL), "}}"...)
	}
	return dst
}
