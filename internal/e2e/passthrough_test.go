package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func passNode(t *testing.T) (*node, *provider) {
	p := startProvider(t, "--api-key", "")
	x := target("sim", "upstream-x", "")
	return startNode(t, (&catalog{}).at("sim", p.addr, "").at("other", p.addr, "").
		model("m", "cache: {mode: exact, ttl: 1h}", x).
		key("ann", "tenant: one, passthrough: [sim]").key("ally", "tenant: one, passthrough: [sim]").
		key("eve", "tenant: two, passthrough: [sim, other]").key("nobody", "tenant: one").String()), p
}

func TestPassThroughByModel(t *testing.T) {
	t.Parallel()
	n, p := passNode(t)
	ann := n.as(t, "ann")

	image := ann.do("POST", "/v1/images/generations", `{"model":"m","prompt":"a cat"}`)
	assert.Equal(t, 200, image.status, image.body)
	assert.Contains(t, image.body, `"b64_json":"iVBOR`)
	assert.Equal(t, "m", image.header.Get("X-Wedge-Model"))
	assert.Equal(t, "sim", image.header.Get("X-Wedge-Provider"))

	speech := ann.do("POST", "/v1/audio/speech", `{"model":"m","input":"hello","voice":"alloy"}`)
	assert.Equal(t, 200, speech.status)
	assert.Equal(t, "audio/wav", speech.header.Get("Content-Type"))
	direct := p.client(t).do("POST", "/v1/audio/speech", `{"model":"upstream-x","input":"hello","voice":"alloy"}`)
	assert.Equal(t, direct.body, speech.body, "bytes pass as they are")

	flagged := ann.do("POST", "/v1/moderations", `{"model":"m","input":"hello"}`)
	assert.Equal(t, 200, flagged.status, flagged.body)
	assert.Contains(t, flagged.body, `"results":[`)

	body, kind := form(t, map[string]string{"model": "m", "response_format": "json"}, "sound.wav", speech.body)
	text := ann.do("POST", "/v1/audio/transcriptions", body, "content-type", kind)
	assert.Equal(t, 200, text.status, text.body)
	body, kind = form(t, map[string]string{"model": "upstream-x", "response_format": "json"}, "sound.wav", speech.body)
	assert.JSONEq(t, p.client(t).do("POST", "/v1/audio/transcriptions", body, "content-type", kind).body, text.body)

	for _, r := range p.requests(t) {
		assert.Equal(t, "upstream-x", r.Model, r.Path)
	}
	again := ann.do("POST", "/v1/images/generations", `{"model":"m","prompt":"a cat"}`)
	assert.Equal(t, "bypass", again.header.Get("X-Wedge-Cache"))
	ann.do("POST", "/v1/images/generations", `{"model":"unknown","prompt":"a cat"}`).wantError(t, 404, "unknown_model")
	newClient(t, n.data, "").do("POST", "/v1/images/generations", `{"model":"m","prompt":"a cat"}`).wantError(t, 401, "unauthenticated")
	assert.EqualValues(t, 5, n.metric(t, "wedge_requests_total", `model="m"`, `code="200"`))
}

// form is a multipart body, its file last, and the body's type.
func form(t *testing.T, fields map[string]string, name, content string) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for field, value := range fields {
		require.NoError(t, w.WriteField(field, value))
	}
	part, err := w.CreateFormFile("file", name)
	require.NoError(t, err)
	_, err = part.Write([]byte(content))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String(), w.FormDataContentType()
}

type object struct {
	ID       string
	Filename string
	Bytes    int
}

var toSim = []string{"x-wedge-provider", "sim"}

// upload puts a file at the provider.
func (c *client) upload(t *testing.T, name, content string) object {
	t.Helper()
	body, kind := form(t, map[string]string{"purpose": "batch"}, name, content)
	a := c.do("POST", "/v1/files", body, append([]string{"content-type", kind}, toSim...)...)
	require.Equal(t, 200, a.status, a.body)
	var o object
	require.NoError(t, json.Unmarshal([]byte(a.body), &o))
	require.NotEmpty(t, o.ID)
	return o
}

// listed are the ids of the files that the caller sees.
func (c *client) listed(t *testing.T) (ids []string) {
	t.Helper()
	a := c.get("/v1/files", toSim...)
	require.Equal(t, 200, a.status, a.body)
	var list struct {
		Object string
		Data   []object
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &list))
	assert.Equal(t, "list", list.Object)
	for _, o := range list.Data {
		ids = append(ids, o.ID)
	}
	return ids
}

func TestFilesBelongToTenants(t *testing.T) {
	t.Parallel()
	n, p := passNode(t)
	ann, ally, eve := n.as(t, "ann"), n.as(t, "ally"), n.as(t, "eve")
	mine := ann.upload(t, "mine.jsonl", `{"a":1}`)
	hers := eve.upload(t, "hers.jsonl", `{"b":2}`)
	assert.Equal(t, "mine.jsonl", mine.Filename)

	assert.Equal(t, []string{mine.ID}, ann.listed(t))
	assert.Equal(t, []string{mine.ID}, ally.listed(t), "a tenant's keys share what is the tenant's")
	assert.Equal(t, []string{hers.ID}, eve.listed(t))

	content := ann.get("/v1/files/"+mine.ID+"/content", toSim...)
	assert.Equal(t, `{"a":1}`, content.body)
	assert.Equal(t, 200, ally.get("/v1/files/"+mine.ID, toSim...).status)
	for _, path := range []string{mine.ID, mine.ID + "/content", "%66" + mine.ID[1:], mine.ID + "/", "./" + mine.ID, mine.ID + "?x=1"} {
		a := eve.get("/v1/files/"+path, toSim...)
		assert.Contains(t, []int{400, 404}, a.status, path)
		assert.NotContains(t, a.body, "mine.jsonl", path)
		assert.NotContains(t, a.body, `{"a":1}`, path)
	}
	eve.do("DELETE", "/v1/files/"+mine.ID, "", toSim...).wantError(t, 404, "not_found")
	eve.do("POST", "/v1/batches", `{"input_file_id":"`+mine.ID+`","endpoint":"/v1/chat/completions","completion_window":"24h"}`, toSim...).wantError(t, 404, "not_found")
	assert.Equal(t, []string{mine.ID}, ann.listed(t))

	n.restart(t) // whose an object is survives
	ann, eve = n.as(t, "ann"), n.as(t, "eve")
	assert.Equal(t, []string{mine.ID}, ann.listed(t))
	eve.get("/v1/files/"+mine.ID, toSim...).wantError(t, 404, "not_found")
	gone := ann.do("DELETE", "/v1/files/"+mine.ID, "", toSim...)
	assert.Equal(t, 200, gone.status, gone.body)
	assert.Empty(t, ann.listed(t))
	assert.Equal(t, []string{hers.ID}, eve.listed(t))

	n.as(t, "nobody").get("/v1/files", toSim...).wantError(t, 403, "forbidden")
	ann.get("/v1/files", "x-wedge-provider", "other").wantError(t, 403, "forbidden")
	ann.get("/v1/files", "x-wedge-provider", "unknown").wantError(t, 403, "forbidden")
	for _, r := range p.requests(t) {
		assert.NotContains(t, fmt.Sprint(r.Headers), "x-wedge-")
	}
}

func TestBatchesBelongToTenants(t *testing.T) {
	t.Parallel()
	n, _ := passNode(t)
	ann, eve := n.as(t, "ann"), n.as(t, "eve")
	input := ann.upload(t, "in.jsonl", `{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":`+ask("upstream-x", "batch")+`}`+"\n")
	made := ann.do("POST", "/v1/batches", `{"input_file_id":"`+input.ID+`","endpoint":"/v1/chat/completions","completion_window":"24h"}`, toSim...)
	require.Equal(t, 200, made.status, made.body)
	var batch struct {
		ID     string
		Output string `json:"output_file_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(made.body), &batch))
	if batch.Output == "" {
		a := ann.get("/v1/batches/"+batch.ID, toSim...)
		require.NoError(t, json.Unmarshal([]byte(a.body), &batch), a.body)
	}
	eve.get("/v1/batches/"+batch.ID, toSim...).wantError(t, 404, "not_found")
	assert.NotContains(t, eve.get("/v1/batches", toSim...).body, batch.ID)
	assert.Contains(t, ann.get("/v1/batches", toSim...).body, batch.ID)
	require.NotEmpty(t, batch.Output)
	out := ann.get("/v1/files/"+batch.Output+"/content", toSim...)
	assert.Equal(t, 200, out.status, out.body)
	assert.True(t, strings.Contains(out.body, `"custom_id":"1"`), out.body)
	eve.get("/v1/files/"+batch.Output+"/content", toSim...).wantError(t, 404, "not_found")
}
