package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// browserPage streams an answer with fetch, then holds a conversation over a WebSocket, and tells how it went.
const browserPage = `<!doctype html><meta charset="utf-8"><script>
const node = NODE, key = KEY, told = {};
const answer = async () => {
  const response = await fetch('http://' + node + '/v1/chat/completions', {
    method: 'POST', headers: { authorization: 'Bearer ' + key, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: 'from a page' }] }),
  });
  told.cache = response.headers.get('x-wedge-cache');
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  told.pieces = 0; told.text = '';
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    told.pieces++;
    const events = (rest + value).split('\n\n');
    rest = events.pop();
    for (const event of events) {
      if (event.startsWith('data: {')) told.text += JSON.parse(event.slice(6)).choices[0]?.delta.content ?? '';
      if (event === 'data: [DONE]') told.done = true;
    }
  }
};
const talk = () => new Promise((resolve, reject) => {
  const socket = new WebSocket('ws://' + node + '/v1/responses', ['realtime', 'openai-insecure-api-key.' + key]);
  socket.onerror = () => reject(new Error('the socket failed'));
  socket.onopen = () => socket.send(JSON.stringify({ type: 'response.create', model: 'm', input: 'from a page' }));
  socket.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    if (event.type === 'response.completed') { told.said = event.response.output[0].content[0].text; socket.close(1000); }
  };
  socket.onclose = ({ code, wasClean }) => { told.close = code; told.clean = wasClean; resolve(); };
});
answer().then(talk).catch((error) => { told.error = String(error); }).finally(() => fetch('/result', { method: 'POST', body: JSON.stringify(told) }));
</script>`

type pageResult struct {
	Error, Cache, Text, Said string
	Pieces, Close            int
	Done, Clean              bool
}

// TestBrowser opens pages in Chromium that talk to a node of another origin: one that the node allows, and one that it does
// not.
func TestBrowser(t *testing.T) {
	t.Parallel()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		skip(t, "chromium is not installed: make setup installs it where it may")
	}
	p := startProvider(t)
	c := (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", "x;tokens=40;tps=100", "")).key("ann", "")
	results := make(chan pageResult, 1)
	var page string
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/result":
			var told pageResult
			_ = json.NewDecoder(r.Body).Decode(&told)
			results <- told
		case "/":
			_, _ = io.WriteString(w, page)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(pages.Close)
	host := strings.TrimPrefix(pages.URL, "http://")
	open := func(n *node) pageResult {
		page = strings.NewReplacer("NODE", fmt.Sprintf("%q", n.data), "KEY", fmt.Sprintf("%q", keyOf("ann"))).Replace(browserPage)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cmd := exec.CommandContext(ctx, chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
			"--no-first-run", "--disable-background-networking", "--user-data-dir="+t.TempDir(), pages.URL+"/")
		var out strings.Builder
		cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, 5*time.Second
		require.NoError(t, cmd.Start())
		defer func() { cancel(); _ = cmd.Wait() }()
		select {
		case told := <-results:
			return told
		case <-time.After(time.Minute):
			require.Fail(t, "the page told nothing", out.String())
			return pageResult{}
		}
	}
	told := open(startNode(t, c.String(), "--allow-origin", host))
	assert.Empty(t, told.Error)
	assert.Equal(t, "bypass", told.Cache, "pages see the node's headers")
	assert.True(t, told.Done)
	assert.NotEmpty(t, told.Text)
	assert.Greater(t, told.Pieces, 10, "nothing collects the events")
	assert.NotEmpty(t, told.Said)
	assert.Equal(t, 1000, told.Close)
	assert.True(t, told.Clean)

	told = open(startNode(t, c.String(), "--allow-origin", "elsewhere.test"))
	assert.Contains(t, told.Error, "Failed to fetch")
}
