package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"math"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"
)

const (
	imageSide   = 16   // pixels
	imageCost   = 272  // tokens of one picture
	sampleRate  = 8000 // per second, of 16 bits each
	clipSamples = sampleRate / 2
)

// modelAndText reads the model and one required text of a request for media.
func modelAndText(v *fastjson.Value, param string) (*answer, string, *failure) {
	model, list, f := modelOf(v)
	if f != nil {
		return nil, "", f
	}
	m := field(v, param)
	if m == nil {
		return nil, "", missing(param)
	}
	b, err := m.StringBytes()
	if err != nil {
		return nil, "", wrongType(param, "a string", m)
	}
	out := &answer{status: 200, contentType: typeJSON, in: countTokens(b), model: model, opts: list}
	return out, string(b), nil
}

// planImages answers POST /v1/images/generations with PNGs of one colour each.
func planImages(b *brain, q *query) (*answer, *failure) {
	v := q.body
	out, text, f := modelAndText(v, "prompt")
	if f != nil {
		return nil, f
	}
	n, f := integer(v, "n", 1, 10, 1)
	if f != nil {
		return nil, f
	}
	asURL := string(v.GetStringBytes("response_format")) == "url"
	out.out = n * imageCost
	out.put(`{"created":`)
	out.appendStamp()
	out.put(`,"background":"opaque","output_format":"png","quality":"low","size":"1024x1024","data":[`)
	for i := range n {
		if i > 0 {
			out.put(",")
		}
		picture := drawPNG(mix(b.seed ^ xxhash.Sum64String(text) ^ uint64(i)))
		if asURL {
			out.put(`{"url":"data:image/png;base64,`)
		} else {
			out.put(`{"b64_json":"`)
		}
		out.body = base64.StdEncoding.AppendEncode(out.body, picture)
		out.put(`"}`)
	}
	out.put(`],"usage":{"input_tokens":`)
	out.putInt(out.in)
	out.put(`,"input_tokens_details":{"image_tokens":0,"text_tokens":`)
	out.putInt(out.in)
	out.put(`},"output_tokens":`)
	out.putInt(out.out)
	out.put(`,"total_tokens":`)
	out.putInt(out.in + out.out)
	out.put("}}")
	return out, nil
}

func drawPNG(key uint64) []byte {
	img := image.NewRGBA(image.Rect(0, 0, imageSide, imageSide))
	for i := range imageSide * imageSide {
		img.Set(i%imageSide, i/imageSide, color.RGBA{uint8(key), uint8(key >> 8), uint8(key >> 16), 255})
	}
	var out bytes.Buffer
	_ = png.Encode(&out, img) // a bytes.Buffer takes everything
	return out.Bytes()
}

// planSpeech answers POST /v1/audio/speech with half a second of a tone, as WAV whatever the format asked for.
func planSpeech(b *brain, q *query) (*answer, *failure) {
	v := q.body
	out, text, f := modelAndText(v, "input")
	if f != nil {
		return nil, f
	}
	if field(v, "voice") == nil {
		return nil, missing("voice")
	}
	r := rng(mix(b.seed ^ xxhash.Sum64String(text)))
	out.contentType = "audio/wav"
	out.body = appendWAV(nil, 220+float64(r.below(660)))
	return out, nil
}

// appendWAV appends a RIFF file with a sine of the given frequency in Hz.
func appendWAV(dst []byte, frequency float64) []byte {
	const data = 2 * clipSamples
	le := binary.LittleEndian
	dst = append(dst, "RIFF"...)
	dst = le.AppendUint32(dst, 36+data)
	dst = append(dst, "WAVEfmt "...)
	dst = le.AppendUint32(dst, 16) // size of the format
	dst = le.AppendUint16(dst, 1)  // PCM
	dst = le.AppendUint16(dst, 1)  // one channel
	dst = le.AppendUint32(dst, sampleRate)
	dst = le.AppendUint32(dst, 2*sampleRate)
	dst = le.AppendUint16(dst, 2)  // bytes per frame
	dst = le.AppendUint16(dst, 16) // bits per sample
	dst = append(dst, "data"...)
	dst = le.AppendUint32(dst, data)
	for i := range clipSamples {
		sample := 8000 * math.Sin(2*math.Pi*frequency*float64(i)/sampleRate)
		dst = le.AppendUint16(dst, uint16(int16(sample)))
	}
	return dst
}

// serveTranscription answers POST /v1/audio/transcriptions and translations: the text follows from the
// file's bytes.
func serveTranscription(s *Server, ctx *fasthttp.RequestCtx, _ string) (*answer, *failure) {
	form, err := ctx.MultipartForm()
	if err != nil {
		return nil, invalid("", "", "Could not parse multipart form: %v.", err)
	}
	sound, _, f := formFile(form.File["file"])
	if f != nil {
		return nil, f
	}
	name, list, f := namedModel(string(ctx.FormValue("model")))
	if f != nil {
		return nil, f
	}
	rep := think(&ask{model: name, key: xxhash.Sum64(sound), choices: 1, in: max(len(sound)/1000, 1)}, s.brain.seed)
	out := &answer{status: 200, contentType: typeJSON, in: rep.in, out: rep.out, model: name, opts: list}
	if string(ctx.FormValue("response_format")) == "text" {
		out.contentType = typeText
		out.put(rep.choices[0].text + "\n")
		return out, nil
	}
	out.put(`{"text":`)
	out.putJSON(rep.choices[0].text)
	out.put(`,"usage":{"type":"tokens","input_tokens":`)
	out.putInt(rep.in)
	out.put(`,"input_token_details":{"text_tokens":0,"audio_tokens":`)
	out.putInt(rep.in)
	out.put(`},"output_tokens":`)
	out.putInt(rep.out)
	out.put(`,"total_tokens":`)
	out.putInt(rep.in + rep.out)
	out.put("}}")
	return out, nil
}

// planModerations answers POST /v1/moderations: a text is flagged for violence if it contains that word or "kill".
func planModerations(b *brain, q *query) (*answer, *failure) {
	v := q.body
	input := field(v, "input")
	if input == nil {
		return nil, missing("input")
	}
	model, list := "omni-moderation-latest", settingsList("")
	if field(v, "model") != nil {
		var f *failure
		if model, list, f = modelOf(v); f != nil {
			return nil, f
		}
	}
	texts := moderated(input)
	r := rng(mix(b.seed ^ xxhash.Sum64String(strings.Join(texts, "\x00"))))
	out := &answer{status: 200, contentType: typeJSON, model: model, opts: list}
	out.put(`{"id":"` + r.id("modr-", 29) + `","model":`)
	out.putJSON(model)
	out.put(`,"results":[`)
	for i, text := range texts {
		if i > 0 {
			out.put(",")
		}
		out.putModeration(text)
	}
	out.put("]}")
	return out, nil
}

// moderated returns the texts to judge: one, many, or the one that all parts of a mixed input make up.
func moderated(input *fastjson.Value) []string {
	if b, err := input.StringBytes(); err == nil {
		return []string{string(b)}
	}
	var texts []string
	parts := false
	for _, item := range input.GetArray() {
		if item.Type() == fastjson.TypeObject {
			parts = true
			texts = append(texts, string(item.GetStringBytes("text")))
			continue
		}
		texts = append(texts, string(item.GetStringBytes()))
	}
	if parts {
		return []string{strings.Join(texts, " ")}
	}
	return texts
}

var categories = [...]string{
	"harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
	"self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
}

func (a *answer) putModeration(text string) {
	lower := strings.ToLower(text)
	bad := strings.Contains(lower, "kill") || strings.Contains(lower, "violence")
	hit := func(category string) bool { return bad && category == "violence" }
	a.put(`{"flagged":` + trueFalse(bad))
	a.putCategories("categories", func(c string) string { return trueFalse(hit(c)) })
	a.putCategories("category_scores", func(c string) string {
		if hit(c) {
			return "0.97"
		}
		return "0.0001"
	})
	a.putCategories("category_applied_input_types", func(string) string { return `["text"]` })
	a.put("}")
}

func (a *answer) putCategories(name string, value func(category string) string) {
	a.put(`,"` + name + `":{`)
	for i, c := range categories {
		if i > 0 {
			a.put(",")
		}
		a.putJSON(c)
		a.put(":" + value(c))
	}
	a.put("}")
}

func trueFalse(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
