package gemini

import (
	"bytes"
	"encoding/base64"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// contents writes the conversation and the instructions. Turns of one side that follow one another are one content:
// the results of all calls of a content must stand in one. Instructions that came later go before the conversation.
// Instructions alone are asked as the user's words, as there must be a content.
func (w *writer) contents() {
	turns := w.chat.Turns
	for i, t := range turns {
		if t.Role == dialect.User && t.To > t.From {
			w.fresh = i + 1
		}
	}
	w.dst = append(w.dst, `"contents":[`...)
	for i := 0; i < len(turns); {
		end := i + 1
		for end < len(turns) && (turns[end].Role == turns[i].Role || turns[end].Role == dialect.System) {
			end++
		}
		if turns[i].Role != dialect.System {
			w.content(i, end)
		}
		i = end
	}
	at := len(w.dst)
	w.dst = append(w.dst, `],"systemInstruction":{"parts":[`...)
	if w.opened = false; !w.spoken {
		w.dst = append(w.dst[:at], `{"role":"user","parts":[`...)
	}
	w.instructions()
	switch {
	case w.spoken && w.opened:
		w.dst = append(w.dst, "]}"...)
	case w.opened:
		w.dst = append(w.dst, "]}]"...)
	case w.spoken:
		w.dst = append(w.dst[:at], ']')
	default:
		w.cannot("a request without a message: let the user say something")
	}
}

// instructions writes the texts that rule the conversation.
func (w *writer) instructions() {
	c := w.chat
	for i := range c.System {
		w.instruction(&c.System[i])
	}
	for _, t := range c.Turns {
		if t.Role != dialect.System {
			continue
		}
		w.left.Add(dialect.FieldSystemTurn)
		for i := t.From; i < t.To; i++ {
			w.instruction(&c.Parts[i])
		}
	}
}

func (w *writer) instruction(p *dialect.Part) {
	if p.Kind != dialect.PartText {
		w.cannot("instructions that are no text: let the user send what is none")
		return
	}
	w.cached(p)
	w.text(p)
}

// cached tells that where the prompt cache may cut has no word: the API finds that out itself.
func (w *writer) cached(p *dialect.Part) {
	if p.Cache != nil {
		w.left.Add(dialect.FieldCache)
	}
}

// content writes the turns from i to end, but for instructions among them, as one content. One without parts, which the
// API refuses, is left out.
func (w *writer) content(i, end int) {
	c := w.chat
	role := c.Turns[i].Role
	at := len(w.dst)
	if w.spoken {
		w.dst = append(w.dst, ',')
	}
	if role == dialect.Assistant {
		w.dst = append(w.dst, `{"role":"model","parts":[`...)
	} else {
		w.dst = append(w.dst, `{"role":"user","parts":[`...)
	}
	w.opened, w.called = false, i < w.fresh // only calls after the user's last words must be signed
	for _, t := range c.Turns[i:end] {
		if t.Role != role {
			continue
		}
		if t.Name != nil {
			w.left.Add(dialect.FieldName)
		}
		for k := t.From; k < t.To; k++ {
			w.part(k)
		}
	}
	if role == dialect.Results {
		w.resultMedia(c.Turns[i:end])
	}
	if !w.opened {
		w.dst = w.dst[:at]
		return
	}
	w.spoken = true
	w.dst = append(w.dst, "]}"...)
}

// part writes the k-th part of the request.
func (w *writer) part(k int) {
	p := &w.chat.Parts[k]
	w.cached(p)
	switch p.Kind {
	case dialect.PartText, dialect.PartRefusal:
		w.text(p)
	case dialect.PartThinking, dialect.PartHidden:
		w.thought(p)
	case dialect.PartCall:
		w.call(p)
	case dialect.PartResult:
		w.result(p, k)
	default:
		w.media(p)
	}
}

func (w *writer) text(p *dialect.Part) {
	if len(p.Text) > 0 {
		w.member(`{"text":`)
		w.dst = append(appendText(w.dst, "", p.Text), '}')
	}
}

// thought writes reasoning that Gemini signed, or that nobody did.
func (w *writer) thought(p *dialect.Part) {
	switch {
	case p.Signature != nil && p.Signer != dialect.Gemini, p.Signature == nil && p.Kind == dialect.PartHidden:
		w.left.Add(dialect.FieldSignature)
		return
	case p.Signature == nil && len(p.Text) == 0:
		return
	}
	w.member(`{"text":"`)
	w.dst = append(w.dst, p.Text...)
	if w.dst = append(w.dst, '"'); p.Kind == dialect.PartThinking {
		w.dst = append(w.dst, `,"thought":true`...)
	}
	if p.Signature != nil {
		w.dst = appendText(w.dst, `,"thoughtSignature":`, p.Signature)
	}
	w.dst = append(w.dst, '}')
}

func (w *writer) call(p *dialect.Part) {
	w.member(`{"functionCall":{`)
	if len(p.ID) > 0 {
		w.dst = append(appendText(w.dst, `"id":`, p.ID), ',')
	}
	w.dst = append(appendText(w.dst, `"name":`, p.Name), `,"args":`...)
	var ok bool
	if w.dst, ok = dialect.AppendArgs(w.dst, p.Args); !ok {
		w.cannot("the arguments of the call of %q, which are no JSON object: send them as one", p.Name)
	}
	w.dst = append(w.dst, '}')
	switch own := p.Signature != nil && p.Signer == dialect.Gemini; {
	case own:
		w.dst = appendText(w.dst, `,"thoughtSignature":`, p.Signature)
	case !w.called && w.gen.current():
		w.dst = append(append(append(w.dst, `,"thoughtSignature":"`...), dummies[0]...), '"')
		fallthrough
	default:
		if p.Signature != nil {
			w.left.Add(dialect.FieldSignature)
		}
	}
	w.called = true
	w.dst = append(w.dst, '}')
}

// media writes a picture, sound, film or document.
func (w *writer) media(p *dialect.Part) {
	switch {
	case p.Data != nil:
		w.inline(p)
	case p.Kind == dialect.PartFile && p.Text != nil:
		w.member(`{"inlineData":{"mimeType":"text/plain","data":"`)
		plain := jsonscan.AppendDecoded(nil, p.Text)
		w.dst = append(base64.StdEncoding.AppendEncode(w.dst, plain), `"}}`...)
	case p.URL != nil && !w.gen.fetches():
		w.cannot("a file behind the URL %q, which models before Gemini 2.5 do not fetch: send its bytes", p.URL)
	case p.URL != nil:
		w.member(`{"fileData":{`)
		kind := p.Media
		if kind == nil {
			kind = guess(p.URL)
		}
		if kind != nil {
			w.dst = append(appendText(w.dst, `"mimeType":`, kind), ',')
		}
		w.dst = append(appendText(w.dst, `"fileUri":`, p.URL), "}}"...)
	case p.FileID != nil:
		w.cannot("the file %q, which another provider keeps: send its bytes or its URL", p.FileID)
	default:
		w.cannot("a file without bytes and URL: send one of them")
	}
	w.labels(p)
}

// labels tells what is said about a file and the API has no word for.
func (w *writer) labels(p *dialect.Part) {
	if len(p.Detail) > 0 && string(p.Detail) != "auto" {
		w.left.Add(dialect.FieldDetail)
	}
	if len(p.Name) > 0 {
		w.left.Add(dialect.FieldFileName)
	}
}

func (w *writer) inline(p *dialect.Part) {
	kind := p.Media
	switch {
	case kind == nil:
		if kind = sniff(p.Data); kind == nil {
			w.cannot("a file of an unknown kind: name its media type")
		}
	case bytes.EqualFold(kind, []byte("image/jpg")):
		kind = dialect.Written("image/jpeg")
	}
	w.member(`{"inlineData":{"mimeType":`)
	w.dst = appendText(w.dst, "", kind)
	w.dst = append(appendText(w.dst, `,"data":`, p.Data), "}}"...)
}
