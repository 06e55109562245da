package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// explainedCost is what /explain tells of what a request cost.
type explainedCost struct {
	CostUSD *float64 `json:"cost_usd"`
	Cost    struct {
		Estimated bool
		List      float64 `json:"list_usd"`
		Discount  float64 `json:"discount_usd"`
		Saved     float64 `json:"saved_usd"`
		Waste     float64 `json:"waste_usd"`
		Prices    string
		Lines     []struct {
			What  string
			Count int64
			USD   float64
		}
	}
}

// nanoUSD is what the request cost, in nano-USD; -1 where nobody knows.
func (e *explainedCost) nanoUSD() int64 {
	if e.CostUSD == nil {
		return -1
	}
	return int64(*e.CostUSD*1e9 + 0.5)
}

func (n *node) costOf(t testing.TB, id string) (e explainedCost) {
	t.Helper()
	testkit.Eventually(t, patience, func() error {
		if a := n.operator(t).get("/explain/" + id); a.status != 200 {
			return fmt.Errorf("%s is not over: %s", id, a.body)
		}
		return nil
	})
	n.operator(t).getJSON("/explain/"+id, &e)
	return e
}

// costCatalog has a model for each way of being billed, and a budget that all of it counts towards.
func costCatalog(p *provider) string {
	c := (&catalog{}).at("sim", p.addr, "")
	c.model("chat", "", target("sim", "chat;tokens=20", "")).price("sim", "chat;tokens=20", 1, 10, "request_usd: 0.001")
	c.model("cached", "cache: {mode: exact, ttl: 1h}", target("sim", "cached;tokens=20", "")).price("sim", "cached;tokens=20", 1, 10, "")
	c.model("slow", "", target("sim", "slow;tokens=400;tps=100", "")).price("sim", "slow;tokens=400;tps=100", 1, 10, "")
	c.model("cut", "", target("sim", "cut;fail=cut;fail_after=3", ""), target("sim", "chat;tokens=20", "name: other")).price("sim", "cut;fail=cut;fail_after=3", 1, 10, "")
	c.model("embed", "", target("sim", "embed", "")).price("sim", "embed", 0.02, 0, "")
	c.model("image", "", target("sim", "image", "")).model("voice", "", target("sim", "voice", "")).model("ear", "", target("sim", "ear", ""))
	c.prices = append(c.prices, `{provider: sim, model: image, image_usd: 0.04}`, `{provider: sim, model: voice, letters: 15}`,
		`{provider: sim, model: ear, input: 2, output: 8, audio_input: 6}`)
	c.budget("all", "1000", "period: total, scope: total")
	return c.key("ann", "may: [direct], passthrough: [sim]").String()
}

func TestCostOfEveryOperation(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, costCatalog(p))
	ann := n.as(t, "ann")
	spent := int64(0)
	costs := func(a *answer, want int64) explainedCost {
		t.Helper()
		require.Equal(t, 200, a.status, a.brief())
		e := n.costOf(t, a.header.Get("X-Request-Id"))
		assert.Equal(t, want, e.nanoUSD(), a.brief())
		spent += want
		assert.NotEmpty(t, e.Cost.Prices)
		return e
	}
	a := ann.chat(ask("chat", "hello"))
	u := a.said(t).usage
	want := int64(u.Prompt)*1000 + int64(u.Completion)*10_000 + 1_000_000
	assert.Equal(t, want, costOf(t, a))
	var lines int64
	for _, l := range costs(a, want).Cost.Lines {
		lines += int64(l.USD*1e9 + 0.5)
	}
	assert.Equal(t, want, lines, "the lines are the sum")

	a = ann.chat(ask("chat", "hello again", streamed))
	u = a.said(t).usage
	assert.Nil(t, u, "which the client did not ask for")
	e := costs(a, a.receipt(t))
	assert.False(t, e.Cost.Estimated)

	a = ann.do("POST", "/v1/embeddings", `{"model":"embed","input":"one two three"}`)
	require.Equal(t, 200, a.status)
	costs(a, costOf(t, a))
	assert.Positive(t, costOf(t, a))

	costs(ann.do("POST", "/v1/images/generations", `{"model":"image","prompt":"a boat","n":2,"response_format":"b64_json"}`), 80_000_000)
	costs(ann.do("POST", "/v1/audio/speech", `{"model":"voice","voice":"alloy","input":"grüße"}`), 5*15_000)

	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", "a.wav")
	require.NoError(t, err)
	_, _ = part.Write(make([]byte, 4000))
	require.NoError(t, w.WriteField("model", "ear"))
	require.NoError(t, w.Close())
	a = ann.do("POST", "/v1/audio/transcriptions", form.String(), "Content-Type", w.FormDataContentType())
	heard := struct{ Usage struct{ Input, Output int64 } }{}
	_, err = fmt.Sscanf(a.body[strings.Index(a.body, `"input_tokens":`):], `"input_tokens":%d,`, &heard.Usage.Input)
	require.NoError(t, err, a.body)
	_, err = fmt.Sscanf(a.body[strings.Index(a.body, `"output_tokens":`):], `"output_tokens":%d,`, &heard.Usage.Output)
	require.NoError(t, err, a.body)
	costs(a, heard.Usage.Input*6000+heard.Usage.Output*8000)

	testkit.Eventually(t, patience, func() error {
		if pot := n.purse(t, "all"); pot.Spent != spent || pot.Held != 0 {
			return fmt.Errorf("all of it came to %d, and the budget has %+v", spent, pot)
		}
		return nil
	})
}

// receipt is what the comment at a stream's end says that it cost, in nano-USD.
func (a *answer) receipt(t testing.TB) int64 {
	t.Helper()
	_, rest, found := strings.Cut(a.body, `: wedge {"cost_usd":`)
	require.True(t, found, a.brief())
	text, _, _ := strings.Cut(rest, ",")
	var usd float64
	_, err := fmt.Sscan(text, &usd)
	require.NoError(t, err, a.brief())
	return int64(usd*1e9 + 0.5)
}

func TestCostOfWhatWasSavedAndWasted(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, costCatalog(p))
	ann := n.as(t, "ann")
	miss := ann.chat(ask("cached", "hello"))
	hit := ann.chat(ask("cached", "hello"))
	assert.Equal(t, "hit-memory", hit.header.Get("X-Wedge-Cache"))
	e := n.costOf(t, hit.header.Get("X-Request-Id"))
	assert.Zero(t, e.nanoUSD())
	assert.Equal(t, costOf(t, miss), int64(e.Cost.Saved*1e9+0.5))

	for i := range 10 { // until the first target is drawn
		a := ann.chat(ask("cut", fmt.Sprint("hello ", i)))
		require.Equal(t, 200, a.status, a.brief())
		if e := n.costOf(t, a.header.Get("X-Request-Id")); a.header.Get("X-Wedge-Attempts") == "2" {
			assert.Positive(t, e.Cost.Waste, "the provider may bill what broke off")
			return
		}
	}
	assert.Fail(t, "no attempt failed")
}

// A client that leaves ends the provider's work, which bills what it did until then.
func TestCostOfACancelledStream(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, costCatalog(p))
	ctx, leave := context.WithCancel(context.Background())
	resp := n.as(t, "ann").open(ctx, ask("slow", "I shall leave", streamed))
	events := bufio.NewReader(resp.Body)
	for range 40 {
		_, err := events.ReadString('\n')
		require.NoError(t, err)
	}
	leave()
	_, _ = io.Copy(io.Discard, resp.Body)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var pot purse
	testkit.Eventually(t, patience, func() error {
		if pot = n.purse(t, "all"); pot.Spent == 0 || pot.Held != 0 {
			return fmt.Errorf("nothing is booked: %+v", pot)
		}
		return nil
	})
	p.awaitState(t, "I shall leave", "client_gone", 5*time.Second)
	assert.InDelta(t, p.served(t), pot.Spent, 400_000, "an estimate, forty tokens at most from the truth")
}
