package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A model whose tokenizer makes twice as many tokens is estimated so once some of its bills came in.
func TestEstimatesLearnFromBills(t *testing.T) {
	w, addr := newWitness(t)
	node := providerServer(t, "", fmt.Sprintf(`dialect: openai, base_url: "http://%s/v1"`, addr))
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 40)
	estimate := func() int64 {
		g := fetch(t, node, "/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":"`+text+`"}]}`)
		require.Equal(t, http.StatusOK, g.StatusCode, g.body)
		require.Equal(t, "true", g.Header.Get("x-wedge-estimated"))
		var counted struct {
			Tokens int64 `json:"input_tokens"`
		}
		require.NoError(t, json.Unmarshal([]byte(g.body), &counted))
		return counted.Tokens
	}
	first := estimate()
	require.InDelta(t, 400, first, 10)

	w.answer = fmt.Sprintf(`{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"fine"},"finish_reason":"stop"}],`+
		`"usage":{"prompt_tokens":%d,"completion_tokens":1,"total_tokens":%d}}`, 2*first, 2*first+1)
	for range 60 {
		g := fetch(t, node, chatPath, chatAsk("m", text, false))
		require.Equal(t, http.StatusOK, g.StatusCode, g.body)
	}
	assert.InEpsilon(t, 2*first, estimate(), 0.1)
}
