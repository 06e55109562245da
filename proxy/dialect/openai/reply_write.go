package openai

import (
	"bytes"
	"strconv"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// reasonOf is what chat/completions calls why an answer ended. A refusal in words is a good end there.
func reasonOf(f dialect.Finish, refused bool) string {
	switch f {
	case dialect.FinishLength:
		return "length"
	case dialect.FinishCalls:
		return "tool_calls"
	case dialect.FinishFilter:
		return "content_filter"
	case dialect.FinishRefusal:
		if !refused {
			return "content_filter"
		}
	}
	return "stop"
}

// appendID appends an answer's id with the prefix of the operation's ids.
func appendID(dst []byte, prefix string, id dialect.Written) []byte {
	if !bytes.HasPrefix(id, []byte(prefix)) {
		dst = append(dst, prefix...)
	}
	return append(dst, id...)
}

// appendReplyHead appends what an answer, or each chunk of it, begins with, up to its choices. An answer that does not
// tell when it was made was made at 0: codecs read no clock.
func appendReplyHead(dst []byte, prefix, object string, id, model dialect.Written, created int64) []byte {
	dst = appendID(append(dst, `{"id":"`...), prefix, id)
	dst = append(append(append(dst, `","object":"`...), object...), `","created":`...)
	dst = appendText(strconv.AppendInt(dst, created, 10), `,"model":`, model)
	return append(dst, `,"choices":[`...)
}

const (
	chatPrefix = "chatcmpl-"
	textPrefix = "cmpl-"
)

func appendChatReply(dst []byte, r *dialect.Reply) ([]byte, error) {
	dst = appendReplyHead(dst, chatPrefix, "chat.completion", r.ID, r.Model, r.Created)
	for i := range r.Answers {
		a := &r.Answers[i]
		parts := r.Parts[a.From:a.To]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"index":`...), int64(a.Index), 10)
		var refused bool
		dst, refused = appendMessage(append(dst, `,"message":`...), r.ID, parts)
		dst = append(dst, `,"logprobs":`...)
		if a.LogProbs == nil {
			dst = append(dst, "null"...)
		}
		dst = appendValue(dst, "", a.LogProbs)
		dst = append(append(append(dst, `,"finish_reason":"`...), reasonOf(a.Finish, refused)...), `"}`...)
	}
	return appendReplyTail(dst, &r.Usage), nil
}

func appendReplyTail(dst []byte, u *dialect.Usage) []byte {
	dst = append(dst, ']')
	if u.Known {
		dst = appendUsage(append(dst, `,"usage":`...), u)
	}
	return append(dst, '}')
}

// appendMessage appends the message of an answer with that id.
func appendMessage(dst []byte, id dialect.Written, parts []dialect.Part) (out []byte, refused bool) {
	var counts [dialect.PartResult + 1]int
	for i := range parts {
		counts[parts[i].Kind]++
	}
	refused = counts[dialect.PartRefusal] > 0
	dst = append(dst, `{"role":"assistant","content":`...)
	if counts[dialect.PartText] > 0 || !refused && counts[dialect.PartCall] == 0 {
		dst = appendJoined(dst, parts, dialect.PartText)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"refusal":`...)
	if refused {
		dst = appendJoined(dst, parts, dialect.PartRefusal)
	} else {
		dst = append(dst, "null"...)
	}
	if counts[dialect.PartThinking] > 0 {
		dst = appendJoined(append(dst, `,"reasoning_content":`...), parts, dialect.PartThinking)
	}
	dst = appendExtra(dst, parts)
	if counts[dialect.PartImage]+counts[dialect.PartAudio] > 0 {
		dst = appendMedia(dst, id, parts)
	}
	if counts[dialect.PartCall] > 0 {
		dst = appendCalls(append(dst, `,"tool_calls":`...), id, parts)
	}
	return append(dst, '}'), refused
}

// appendMedia appends pictures, as OpenRouter has them, and the first sound, each as a member with a comma before it.
func appendMedia(dst []byte, id dialect.Written, parts []dialect.Part) []byte {
	images, sounds := 0, 0
	for i := range parts {
		if p := &parts[i]; p.Kind == dialect.PartImage && p.Data != nil {
			if images == 0 {
				dst = append(dst, `,"images":`...)
			}
			dst = append(dst, listed(images)...)
			dst = appendImage(dst, images, p.Media, p.Data)
			images++
		}
	}
	if images > 0 {
		dst = append(dst, ']')
	}
	for i := range parts {
		if p := &parts[i]; p.Kind == dialect.PartAudio && p.Data != nil && sounds == 0 {
			sounds++
			dst = appendAudio(append(dst, ','), id, p.Data)
		}
	}
	return dst
}

// appendImage appends the nth picture of an answer.
func appendImage(dst []byte, n int, media, data dialect.Written) []byte {
	dst = strconv.AppendInt(append(dst, `{"index":`...), int64(n), 10)
	dst = appendDataURL(append(dst, `,"type":"image_url","image_url":{"url":`...), media, data)
	return append(dst, "}}"...)
}

// appendAudio appends the sound of an answer with that id, as a member.
func appendAudio(dst []byte, id, data dialect.Written) []byte {
	dst = appendID(append(dst, `"audio":{"id":"`...), "audio_", id)
	dst = appendText(dst, `","data":`, data)
	return append(dst, `,"expires_at":0,"transcript":""}`...)
}

// appendCalls appends the list of calls of an answer with that id.
func appendCalls(dst []byte, id dialect.Written, parts []dialect.Part) []byte {
	n := 0
	for i := range parts {
		p := &parts[i]
		if p.Kind != dialect.PartCall {
			continue
		}
		dst = append(append(dst, listed(n)...), `{"id":"`...)
		if dst = append(dst, p.ID...); len(p.ID) == 0 {
			dst = appendCallID(dst, id, n)
		}
		dst = appendFunction(append(dst, '"'), p)
		if len(p.Signature) > 0 {
			dst = append(appendCallSignature(append(dst, ','), p.Signature, p.Signer), '}')
		} else {
			dst = append(dst, '}')
		}
		n++
	}
	return append(dst, ']')
}

// appendCallSignature appends the extra_content of a call, as a member.
func appendCallSignature(dst []byte, signature dialect.Written, signer dialect.ID) []byte {
	dst = append(append(append(dst, `"extra_content":{"`...), signers[signer]...), `":{"thought_signature":"`...)
	return append(append(dst, signature...), `"}}`...)
}

// appendTextReply appends an answer of completions, which are text and nothing else.
func appendTextReply(dst []byte, r *dialect.Reply) ([]byte, error) {
	dst = appendReplyHead(dst, textPrefix, "text_completion", r.ID, r.Model, r.Created)
	for i := range r.Answers {
		a := &r.Answers[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"index":`...), int64(a.Index), 10)
		dst = append(dst, `,"text":"`...)
		for j := a.From; j < a.To; j++ {
			if p := &r.Parts[j]; p.Kind == dialect.PartText || p.Kind == dialect.PartRefusal {
				dst = append(dst, p.Text...)
			}
		}
		dst = append(append(dst, `","logprobs":null,"finish_reason":"`...), textReasonOf(a.Finish)...)
		dst = append(dst, `"}`...)
	}
	return appendReplyTail(dst, &r.Usage), nil
}

// textReasonOf is what completions, which call no tools, call why an answer ended.
func textReasonOf(f dialect.Finish) string {
	if f == dialect.FinishCalls {
		return "stop"
	}
	return reasonOf(f, true)
}

// audioFamily says that a media type is one of sound.
func audioFamily(media dialect.Written) bool { return bytes.HasPrefix(media, []byte("audio/")) }
