package openai

import (
	"bytes"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// messages writes the conversation.
func (w *requestWriter) messages() {
	w.dst = append(w.dst, `,"messages":`...)
	start := len(w.dst)
	if system := w.c.System; len(system) > 0 {
		w.instructions(start, system, nil)
	}
	for i := range w.c.Turns {
		t := &w.c.Turns[i]
		parts := w.c.Parts[t.From:t.To]
		switch t.Role {
		case dialect.System:
			w.instructions(start, parts, t.Name)
		case dialect.User:
			w.begin(start, "user", t.Name)
			w.content(parts)
			w.dst = append(w.dst, '}')
		case dialect.Assistant:
			w.answer(start, parts, t.Name)
		case dialect.Results:
			w.results(start, parts)
		}
	}
	if len(w.dst) == start {
		w.dst = append(w.dst, '[')
	}
	w.dst = append(w.dst, ']')
}

// begin begins a message, up to its content.
func (w *requestWriter) begin(start int, role string, name dialect.Written) {
	if len(w.dst) == start {
		w.dst = append(w.dst, '[')
	} else {
		w.dst = append(w.dst, ',')
	}
	w.dst = append(append(append(w.dst, `{"role":"`...), role...), '"')
	w.dst = appendWritten(w.dst, `,"name":`, name)
	w.dst = append(w.dst, `,"content":`...)
}

func (w *requestWriter) instructions(start int, parts []dialect.Part, name dialect.Written) {
	w.begin(start, "system", name)
	for i := range parts {
		if w.unmarked(parts[i].Cache); parts[i].Kind != dialect.PartText {
			w.fail("an instruction that is no text", "put it into a message of the user")
		}
	}
	w.dst = append(appendTexts(w.dst, parts), '}')
}

// content writes what a user says: one text as it is, everything else in parts.
func (w *requestWriter) content(parts []dialect.Part) {
	if len(parts) == 0 || len(parts) == 1 && parts[0].Kind == dialect.PartText {
		if w.dst = appendTexts(w.dst, parts); len(parts) == 1 {
			w.unmarked(parts[0].Cache)
		}
		return
	}
	for i := range parts {
		w.dst = append(w.dst, listed(i)...)
		w.part(&parts[i])
	}
	w.dst = append(w.dst, ']')
}

// part writes one part of what a user says.
func (w *requestWriter) part(p *dialect.Part) {
	w.unmarked(p.Cache)
	switch p.Kind {
	case dialect.PartText, dialect.PartRefusal:
		w.dst = appendTextPart(w.dst, p.Text)
	case dialect.PartImage:
		w.located("image_url", p)
	case dialect.PartVideo:
		w.located("video_url", p)
	case dialect.PartAudio:
		format := audioFormat(p.Media)
		if format == nil || p.Data == nil {
			w.fail("sound that is neither WAV nor MP3", "send it in one of these formats")
			return
		}
		w.dst = appendText(w.dst, `{"type":"input_audio","input_audio":{"data":`, p.Data)
		w.dst = append(appendText(w.dst, `,"format":`, format), "}}"...)
		w.unnamed(p)
	case dialect.PartFile:
		w.file(p)
	default:
		w.fail("a call, a result or thinking in a message of the user", "put it into its own turn")
	}
}

// located writes a picture or a film.
func (w *requestWriter) located(kind string, p *dialect.Part) {
	w.dst = append(append(append(w.dst, `{"type":"`...), kind...), `","`...)
	w.dst = append(append(w.dst, kind...), `":{"url":`...)
	switch {
	case p.Data != nil:
		w.dst = appendDataURL(w.dst, p.Media, p.Data)
	case p.URL != nil:
		w.dst = appendText(w.dst, "", p.URL)
	default:
		w.fail("a picture or film that another provider keeps", "send it by value or by URL")
	}
	w.dst = append(appendWritten(w.dst, `,"detail":`, p.Detail), "}}"...)
	w.unnamed(p)
}

// unnamed tells that a file's name has no word: only documents have one.
func (w *requestWriter) unnamed(p *dialect.Part) {
	if len(p.Name) > 0 {
		w.left.Add(dialect.FieldFileName)
	}
}

// file writes a document.
func (w *requestWriter) file(p *dialect.Part) {
	const head = `{"type":"file","file":{`
	switch {
	case p.Text != nil:
		w.dst = appendFileText(w.dst, p)
	case p.Data != nil:
		name := p.Name
		if name == nil {
			name = fileName(p.Media)
		}
		w.dst = appendText(append(w.dst, head...), `"filename":`, name)
		w.dst = append(appendDataURL(append(w.dst, `,"file_data":`...), p.Media, p.Data), "}}"...)
	case bytes.HasPrefix(p.FileID, fileIDs):
		w.dst = appendText(append(w.dst, head...), `"file_id":`, p.FileID)
		w.dst = append(appendWritten(w.dst, `,"filename":`, p.Name), "}}"...)
	case p.FileID != nil:
		w.fail("a document that another provider keeps", "send it by value")
	default:
		w.fail("a document by URL", "send it by value")
	}
}

// answer writes a turn of the model: its text, its refusal and its calls. Thinking without a signature goes back to the
// servers that showed it and want it (DeepSeek, Moonshot); signed thinking is another provider's.
func (w *requestWriter) answer(start int, parts []dialect.Part, name dialect.Written) {
	w.begin(start, "assistant", name)
	texts, refusals, calls := 0, 0, 0
	for i := range parts {
		p := &parts[i]
		switch p.Kind {
		case dialect.PartText:
			texts++
		case dialect.PartRefusal:
			refusals++
		case dialect.PartCall:
			calls++
		case dialect.PartThinking, dialect.PartHidden:
			continue // a cache cannot cut there
		default:
			w.fail("a picture, sound or file in an answer of the model", "put it into a message of the user")
		}
		w.unmarked(p.Cache)
	}
	switch {
	case texts > 0 || refusals == 0 && calls == 0:
		w.only(parts, dialect.PartText, texts)
	default:
		w.dst = append(w.dst, "null"...)
	}
	if refusals > 0 {
		w.dst = appendJoined(append(w.dst, `,"refusal":`...), parts, dialect.PartRefusal)
	}
	w.thoughts(parts)
	if calls > 0 {
		w.calls(parts)
	}
	w.dst = append(w.dst, '}')
}

// only writes the n texts of one kind among the parts: as a string if it is one.
func (w *requestWriter) only(parts []dialect.Part, kind dialect.PartKind, n int) {
	if n <= 1 {
		w.dst = appendJoined(w.dst, parts, kind)
		return
	}
	n = 0
	for i := range parts {
		if parts[i].Kind == kind {
			w.dst = appendTextPart(append(w.dst, listed(n)...), parts[i].Text)
			n++
		}
	}
	w.dst = append(w.dst, ']')
}

// appendJoined appends the texts of one kind among the parts as one string.
func appendJoined(dst []byte, parts []dialect.Part, kind dialect.PartKind) []byte {
	dst = append(dst, '"')
	for i := range parts {
		if parts[i].Kind == kind {
			dst = append(dst, parts[i].Text...)
		}
	}
	return append(dst, '"')
}

// thoughts writes what the model thought.
func (w *requestWriter) thoughts(parts []dialect.Part) {
	var signature dialect.Written
	open := false
	for i := range parts {
		p := &parts[i]
		switch {
		case p.Kind != dialect.PartThinking && p.Kind != dialect.PartHidden && !signedText(p):
		case len(p.Signature) > 0 && p.Signer == dialect.Gemini && w.takesGemini():
			signature = p.Signature
		case len(p.Signature) > 0 || p.Kind == dialect.PartHidden:
			w.left.Add(dialect.FieldSignature)
		case p.Kind == dialect.PartThinking:
			if !open {
				w.dst, open = append(w.dst, `,"reasoning_content":"`...), true
			}
			w.dst = append(w.dst, p.Text...)
		}
	}
	if open {
		w.dst = append(w.dst, '"')
	}
	if signature != nil {
		w.dst = append(appendSigned(append(w.dst, `,"extra_content":{`...), signature), '}')
	}
}

func (w *requestWriter) calls(parts []dialect.Part) {
	n := 0
	w.dst = append(w.dst, `,"tool_calls":`...)
	for i := range parts {
		p := &parts[i]
		if p.Kind != dialect.PartCall {
			continue
		}
		w.dst = appendText(append(w.dst, listed(n)...), `{"id":`, p.ID)
		w.dst = appendFunction(w.dst, p)
		switch {
		case len(p.Signature) == 0:
		case p.Signer == dialect.Gemini && w.takesGemini():
			w.dst = append(appendSigned(append(w.dst, `,"extra_content":{`...), p.Signature), '}')
		default:
			w.left.Add(dialect.FieldSignature)
		}
		w.dst = append(w.dst, '}')
		n++
	}
	w.dst = append(w.dst, ']')
}

// appendFunction appends the type of a call and its function, as members with a comma before them.
func appendFunction(dst []byte, p *dialect.Part) []byte {
	dst = appendText(dst, `,"type":"function","function":{"name":`, p.Name)
	dst = append(dst, `,"arguments":"`...)
	if !isObject(p.Args) {
		return append(dialect.AppendArgsText(dst, p.Args), `"}`...)
	}
	at := len(dst)
	dst = appendCompact(dst, p.Args)
	end := len(dst)
	dst = dialect.AppendArgsText(dst, dst[at:end:end])
	return append(dst[:at+copy(dst[at:], dst[end:])], `"}`...)
}

// results writes what tools answered, one message each. They take text alone: pictures and files follow in a message of
// the user.
func (w *requestWriter) results(start int, parts []dialect.Part) {
	others := 0
	for i := range parts {
		p := &parts[i]
		if p.Kind != dialect.PartResult {
			w.fail("something other than results in the turn of the tools", "put it into a turn of its own")
			return
		}
		if w.unmarked(p.Cache); p.Failed {
			w.left.Add(dialect.FieldFailed)
		}
		others += w.result(start, p)
	}
	if others == 0 {
		return
	}
	w.begin(start, "user", nil)
	n := 0
	for i := range parts {
		nested := w.c.Nested[parts[i].From:parts[i].To]
		for j := range nested {
			if nested[j].Kind != dialect.PartText {
				w.dst = append(w.dst, listed(n)...)
				w.part(&nested[j])
				n++
			}
		}
	}
	w.dst = append(w.dst, "]}"...)
}

// result writes what one tool answered in text, and counts what else it did.
func (w *requestWriter) result(start int, p *dialect.Part) (others int) {
	nested := w.c.Nested[p.From:p.To]
	texts := 0
	for i := range nested {
		if w.unmarked(nested[i].Cache); nested[i].Kind == dialect.PartText {
			texts++
		} else {
			others++
		}
	}
	w.begin(start, "tool", nil)
	w.only(nested, dialect.PartText, texts)
	w.dst = append(appendText(w.dst, `,"tool_call_id":`, p.ID), '}')
	return others
}
