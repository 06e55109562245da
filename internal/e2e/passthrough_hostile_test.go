package e2e

import (
	"bytes"
	"mime/multipart"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPassThroughKeepsToAllowedModels tries to have the provider read another model than the node has checked.
func TestPassThroughKeepsToAllowedModels(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", "upstream-x", "")).
		model("dear", "", target("sim", "dear-x", "")).key("ann", "models: [m], passthrough: [sim]").String())
	ann := n.as(t, "ann")
	const images = "/v1/images/generations"
	to := func(contentType string) []string { return append([]string{"content-type", contentType}, toSim...) }
	dear := `{"model":"dear-x","prompt":"a cat"}`
	for _, kind := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded", "application/vnd.x+json", "", "TEXT/JSON; charset=utf-8"} {
		ann.do("POST", images, "\n "+dear, to(kind)...).wantError(t, 404, "unknown_model")
		a := ann.do("POST", images, `{"model":"m","prompt":"a cat"}`, "content-type", kind)
		assert.Equal(t, 200, a.status, a.brief())
	}
	ann.do("POST", images, dear, to(`multipart/form-data; boundary=a; boundary=b`)...).wantError(t, 400, "invalid_request")
	ann.do("POST", images, `{"model":"m","model":"dear-x","prompt":"a cat"}`, to("text/plain")...).wantError(t, 400, "invalid_json")

	for _, models := range [][]string{{"m", "dear-x"}, {"dear-x", "m"}} {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for _, model := range models {
			require.NoError(t, w.WriteField("model", model))
		}
		part, err := w.CreateFormFile("file", "sound.wav")
		require.NoError(t, err)
		_, err = part.Write([]byte("sound"))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		a := ann.do("POST", "/v1/audio/transcriptions", b.String(), to(w.FormDataContentType())...)
		a.wantError(t, 400, "invalid_request")
	}

	for _, path := range []string{chatPath + "/", "/v1/responses/", "/v1/embeddings//", "/v1//completions/"} {
		ann.do("POST", path, ask("m", "slash")).wantError(t, 404, "not_found")
		ann.do("POST", path, ask("dear-x", "slash"), toSim...).wantError(t, 404, "not_found")
	}
	for _, r := range p.requests(t) {
		assert.Equal(t, "upstream-x", r.Model, r.Body)
		assert.Equal(t, "application/json", r.Headers["content-type"], "what was read as JSON is sent as JSON")
	}
	assert.Len(t, p.requests(t), 6)
}

// TestContentType asks without naming the body's type, as curl does.
func TestContentType(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	ann := startNode(t, (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", "x", "")).key("ann", "").String()).as(t, "ann")
	for _, kind := range []string{"", "application/x-www-form-urlencoded", "application/json; charset=utf-8"} {
		assert.Equal(t, 200, ann.chat(ask("m", "typed"), "content-type", kind).status)
	}
	for _, r := range p.requests(t) {
		assert.Equal(t, "application/json", r.Headers["content-type"])
	}
}
